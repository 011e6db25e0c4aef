// Command receiver takes CloudEvents as a consumer would that is not ours: by the SDK of the CloudEvents project, which reads and
// validates them, and by the JSON Schema that is documented for their data. What came is served to the test that started it.
//
//	receiver --schema docs/reference/event.schema.json
//
// It prints the address that it listens on. POST /events takes an event, GET /taken tells of all so far.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// taken is one request and what the SDK made of it.
type taken struct {
	// Mode is structured, binary, batch or unknown, as the SDK calls it.
	Mode string `json:"mode"`
	// Authorization is the header as it came.
	Authorization string `json:"authorization"`
	// Error says what the SDK or the schema has against it.
	Error       string          `json:"error,omitempty"`
	SpecVersion string          `json:"specVersion"`
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	Source      string          `json:"source"`
	Subject     string          `json:"subject"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"contentType"`
	Extensions  map[string]any  `json:"extensions"`
	Data        json.RawMessage `json:"data,omitempty"`
}

type receiver struct {
	schema *jsonschema.Schema
	mutex  sync.Mutex
	all    []taken
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where to listen")
	file := flag.String("schema", "", "the JSON Schema of an event's data")
	flag.Parse()
	schema, err := compile(*file)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	it := &receiver{schema: schema}
	fmt.Printf("listening on %s\n", listener.Addr())
	server := &http.Server{Handler: it.routes(), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(listener))
}

func compile(file string) (*jsonschema.Schema, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--schema: %w", err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("event.schema.json", document); err != nil {
		return nil, err
	}
	return compiler.Compile("event.schema.json")
}

func (r *receiver) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /events", r.take)
	mux.HandleFunc("GET /taken", r.tell)
	return mux
}

// take answers 400 to what is no valid event, as a consumer that believes nobody does.
func (r *receiver) take(answer http.ResponseWriter, request *http.Request) {
	one := r.read(request)
	r.mutex.Lock()
	r.all = append(r.all, one)
	r.mutex.Unlock()
	if one.Error != "" {
		http.Error(answer, one.Error, http.StatusBadRequest)
		return
	}
	answer.WriteHeader(http.StatusAccepted)
}

func (r *receiver) read(request *http.Request) taken {
	message := cehttp.NewMessageFromHttpRequest(request)
	one := taken{Mode: message.ReadEncoding().String(), Authorization: request.Header.Get("Authorization")}
	it, err := binding.ToEvent(context.WithoutCancel(request.Context()), message)
	if err != nil {
		one.Error = err.Error()
		return one
	}
	one.fill(it)
	if err := it.Validate(); err != nil {
		one.Error = err.Error()
		return one
	}
	if err := r.check(it); err != nil {
		one.Error = err.Error()
	}
	return one
}

func (o *taken) fill(it *event.Event) {
	o.SpecVersion, o.ID, o.Type = it.SpecVersion(), it.ID(), it.Type()
	o.Source, o.Subject, o.Time = it.Source(), it.Subject(), it.Time()
	o.ContentType, o.Extensions = it.DataContentType(), it.Extensions()
	if json.Valid(it.Data()) {
		o.Data = it.Data()
	}
}

// check holds the data to the schema.
func (r *receiver) check(it *event.Event) error {
	data, err := jsonschema.UnmarshalJSON(strings.NewReader(string(it.Data())))
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	return r.schema.Validate(data)
}

func (r *receiver) tell(answer http.ResponseWriter, _ *http.Request) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	answer.Header().Set("Content-Type", "application/json")
	all := r.all
	if all == nil {
		all = []taken{}
	}
	if err := json.NewEncoder(answer).Encode(all); err != nil {
		log.Print(err)
	}
}
