package load

import (
	"context"
	"fmt"
	"os"
	"time"
)

// steer follows a file that holds the current rate, until the context ends. A
// file that can't be read or holds no rate leaves the rate as it is, and that
// is said once.
func steer(ctx context.Context, s *schedule, file string, since func() time.Duration, warn func(error)) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	complained := false
	for {
		rate, err := readRate(file)
		switch {
		case err == nil:
			complained = false
			s.setRate(since(), rate)
		case !complained:
			complained = true
			warn(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func readRate(file string) (float64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("rate file: %w", err)
	}
	rate, err := parseRate(string(data))
	if err != nil {
		return 0, fmt.Errorf("rate file %s: %w", file, err)
	}
	return rate, nil
}
