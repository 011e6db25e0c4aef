// Command small is the program whose cost is compared with and without the
// agent: a server that does next to nothing, and makes a little garbage.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

var sink []byte

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go http.Serve(listener, http.NotFoundHandler()) //nolint:errcheck // it ends with the process
	fmt.Println("ready")
	go func() {
		for { // 1 MB/s: a collection every few seconds
			time.Sleep(100 * time.Millisecond)
			for range 25 {
				sink = make([]byte, 4096)
			}
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin) // until whoever measures has seen enough
}
