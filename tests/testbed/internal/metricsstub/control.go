package metricsstub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Control is how a test sets values, at /namespaces/NAME: PUT replaces all of a
// namespace, PATCH adds to it, GET shows it, DELETE forgets it. A document with
// an unknown field or a bad quantity is refused whole.
func Control(store *Store) http.Handler {
	mux := http.NewServeMux()
	change := func(change func(namespace string, values Values) error) http.HandlerFunc {
		return func(out http.ResponseWriter, request *http.Request) {
			values, err := decode(request.Body)
			if err == nil {
				err = change(request.PathValue("namespace"), values)
			}
			if err != nil {
				http.Error(out, err.Error(), http.StatusBadRequest)
				return
			}
			out.WriteHeader(http.StatusNoContent)
		}
	}
	mux.HandleFunc("PUT /namespaces/{namespace}", change(store.Set))
	mux.HandleFunc("PATCH /namespaces/{namespace}", change(store.Add))
	mux.HandleFunc("GET /namespaces/{namespace}", func(out http.ResponseWriter, request *http.Request) {
		values, known := store.Get(request.PathValue("namespace"))
		if !known {
			http.Error(out, "no values are set for this namespace", http.StatusNotFound)
			return
		}
		answer(out, http.StatusOK, values)
	})
	mux.HandleFunc("DELETE /namespaces/{namespace}", func(out http.ResponseWriter, request *http.Request) {
		store.Delete(request.PathValue("namespace"))
		out.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func decode(body io.Reader) (values Values, err error) {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&values); err != nil {
		return Values{}, fmt.Errorf("read the values: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Values{}, errors.New("read the values: there is more than one document")
	}
	return values, nil
}

// answer writes JSON. Whoever no longer listens is not told anything else.
func answer(out http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(code)
	_, _ = out.Write(data)
}
