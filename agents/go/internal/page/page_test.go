package page

import (
	"math"
	"strings"
	"testing"
)

func TestWrite(t *testing.T) {
	var out strings.Builder
	if err := Write(&out, []Family{
		{Name: "a", Kind: Gauge, Help: "An a.", Series: []Series{{Value: math.Inf(1)}}},
		{Name: "b_total", Kind: Counter, Help: "Bs.", Series: []Series{
			{Labels: []string{"x", "1", "y", "a\"b\\c\nd"}, Value: 1073741824}, {Labels: []string{"x", "2"}, Value: 2.5e-9}}},
	}); err != nil {
		t.Fatal(err)
	}
	const want = `# HELP a An a.
# TYPE a gauge
a +Inf
# HELP b_total Bs.
# TYPE b_total counter
b_total{x="1",y="a\"b\\c\nd"} 1073741824
b_total{x="2"} 2.5e-09
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
