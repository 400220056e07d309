// Reads one OTLP/HTTP JSON body from standard input with OpenTelemetry's own types, and writes it as protobuf has it.
// A field that they do not know, or of another type, is an error.
package main

import (
	"fmt"
	"io"
	"os"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	trace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func main() {
	var message proto.Message = &trace.ExportTraceServiceRequest{}
	if os.Args[1] == "/v1/logs" {
		message = &logs.ExportLogsServiceRequest{}
	}
	body, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = protojson.Unmarshal(body, message)
	}
	if err == nil {
		body, err = protojson.Marshal(message)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(body)
}
