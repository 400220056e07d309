package cryptoedge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"crypto/tls"
	"crypto/x509"
)

func fakeEdge(t *testing.T, answer http.HandlerFunc) *Client {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	client, err := New(server.URL, Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status": %d, "code": %q, "detail": "told", "request_id": "r-1"}`, status, code)
}

func TestACallIsSentAgainWhileItsErrorPasses(t *testing.T) {
	asked := 0
	client := fakeEdge(t, func(w http.ResponseWriter, _ *http.Request) { asked++; refuse(w, 503, "lease_unavailable") })
	_, err := client.CreateKey(context.Background(), "a", "b", CreateOptions{})
	if CodeOf(err) != "lease_unavailable" || asked != 3 {
		t.Error(err, asked)
	}
}

func TestOtherErrorsAndLongWaitsAreToldAtOnce(t *testing.T) {
	asked := 0
	client := fakeEdge(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			refuse(w, 410, "key_revoked")
			return
		}
		w.Header().Set("Retry-After", "60")
		refuse(w, 429, "rate_limited")
	})
	for _, code := range []string{"key_revoked", "rate_limited"} {
		if _, err := client.CreateKey(context.Background(), "a", "b", CreateOptions{}); CodeOf(err) != code {
			t.Error(err)
		}
	}
	if asked != 2 {
		t.Error(asked)
	}
}

func TestACallEndsWithItsContextAndItsTime(t *testing.T) {
	client := fakeEdge(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		<-r.Context().Done()
	})
	client.options.Timeout = 50 * time.Millisecond
	if _, err := client.CreateKey(context.Background(), "a", "b", CreateOptions{}); CodeOf(err) != "lease_unavailable" {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := client.CreateKey(ctx, "a", "b", CreateOptions{}); err == nil || ctx.Err() == nil {
		t.Error(err)
	}
}

func TestABatchThatIsTooLargeIsHalved(t *testing.T) {
	var sizes []int
	client := fakeEdge(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Items []any }
		_ = json.NewDecoder(r.Body).Decode(&body)
		if sizes = append(sizes, len(body.Items)); len(body.Items) > 3 {
			refuse(w, 413, "too_large")
			return
		}
		results := make([]any, len(body.Items))
		for index := range results {
			results[index] = map[string]any{"error": map[string]any{"code": "invalid_blob", "status": 400}}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"results": results})
	})
	results, err := client.DecryptKeys(context.Background(), make([][]byte, 10), nil)
	if err != nil || len(results) != 10 || CodeOf(results[9].Error) != "invalid_blob" || fmt.Sprint(sizes) != "[10 5 3 3 3 1]" {
		t.Error(err, results, sizes)
	}
}

func TestAddressesThatCanBeNoEdges(t *testing.T) {
	for _, address := range []string{"http://edge.example:7402", "http://10.0.0.1", "ftp://edge", "nonsense", ""} {
		if _, err := New(address, Options{}); CodeOf(err) != "invalid_request" {
			t.Error(address, err)
		}
	}
	client := fakeEdge(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "no edge") })
	if _, err := client.CreateKey(context.Background(), "a", "b", CreateOptions{}); CodeOf(err) != "unexpected_answer" {
		t.Error(err)
	}
}

// The edge of CRYPTO_EDGE_URL.
func realEdge(t *testing.T) *Client {
	address := os.Getenv("CRYPTO_EDGE_URL")
	if address == "" {
		t.Skip("CRYPTO_EDGE_URL names no edge")
	}
	client, err := New(address, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestKeysAreMadeAndOpenedByEveryWay(t *testing.T) {
	ways := []*Client{realEdge(t)}
	if address := os.Getenv("CRYPTO_EDGE_HTTPS"); address != "" {
		pair, err := tls.LoadX509KeyPair(os.Getenv("CERT"), os.Getenv("KEY"))
		ca, second := os.ReadFile(os.Getenv("CA"))
		if err != nil || second != nil {
			t.Fatal(err, second)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		secure, err := New(address, Options{TLS: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots}})
		socket, second := New(os.Getenv("CRYPTO_EDGE_UNIX"), Options{})
		if err != nil || second != nil {
			t.Fatal(err, second)
		}
		ways = append(ways, secure, socket)
	}
	ctx, binding := context.Background(), Context{"id": "1"}
	for _, edge := range ways {
		made, err := edge.CreateKey(ctx, "tenant-a", "billing", CreateOptions{Plaintext: true, Context: binding})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := edge.DecryptKey(ctx, made.Wrapped, binding)
		if err != nil || string(opened.Plaintext) != string(made.Plaintext) || opened.Version != made.Version {
			t.Error(err, opened)
		}
		if again, err := edge.RewrapKey(ctx, made.Wrapped, binding); err != nil || string(again.Wrapped) == string(made.Wrapped) {
			t.Error(err)
		}
		many, err := edge.CreateKeys(ctx, "tenant-a", "billing", 3, CreateOptions{})
		if err != nil || len(many) != 3 {
			t.Error(err, many)
		}
		if _, err := edge.CreateKey(ctx, "tenant-a", "nowhere", CreateOptions{}); CodeOf(err) != "key_not_found" {
			t.Error(err)
		}
	}
}

func TestRecordsAloneAndInLists(t *testing.T) {
	ctx, records, binding := context.Background(), Records{Edge: realEdge(t), Tenant: "tenant-a", Service: "billing"}, Context{"id": "1"}
	sealed, err := records.Seal(ctx, []byte("grün"), binding)
	if err != nil {
		t.Fatal(err)
	}
	if value, err := records.Open(ctx, sealed, binding); string(value) != "grün" || err != nil {
		t.Error(value, err)
	}
	items := []Item{{Value: []byte("a"), Context: binding}, {Value: []byte("b")}}
	if err := records.SealMany(ctx, items); err != nil {
		t.Fatal(err)
	}
	items = []Item{{Sealed: items[0].Sealed, Context: binding}, {Sealed: items[1].Sealed, Context: binding}, {Sealed: []byte("none")}}
	if err := records.OpenMany(ctx, items); err != nil || string(items[0].Value) != "a" {
		t.Error(err, items)
	}
	if CodeOf(items[1].Error) != "decryption_failed" || CodeOf(items[2].Error) != "invalid_record" {
		t.Error(items[1].Error, items[2].Error)
	}
	other := Records{Edge: records.Edge, Tenant: "tenant-b", Service: "billing"}
	if _, err := other.Open(ctx, sealed, binding); CodeOf(err) != "decryption_failed" {
		t.Error(err)
	}
	index, err := records.Edge.CreateKey(ctx, "tenant-a", "billing", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	one, _ := records.BlindIndexToken(ctx, index.Wrapped, "email", "a", 16)
	two, err := records.BlindIndexToken(ctx, index.Wrapped, "email", "a", 16)
	if len(one) != 16 || string(one) != string(two) || err != nil {
		t.Error(one, two, err)
	}
}

func TestRecordsOfTheOtherLanguages(t *testing.T) {
	folder := os.Getenv("CROSSING")
	ctx, records := context.Background(), Records{Edge: realEdge(t), Tenant: "tenant-a", Service: "billing"}
	if folder == "" {
		t.Skip("CROSSING names no folder")
	}
	type crossed struct {
		Record, Value string
		Context       Context
	}
	files, _ := filepath.Glob(filepath.Join(folder, "*.json"))
	for _, file := range files {
		var all []crossed
		data, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(data, &all) != nil || len(all) == 0 {
			t.Fatal(file, err)
		}
		for _, one := range all {
			sealed, _ := text.DecodeString(one.Record)
			if value, err := records.Open(ctx, sealed, one.Context); string(value) != one.Value || err != nil {
				t.Error(file, string(value), err)
			}
		}
	}
	made := crossed{Value: "from Go \U0001f439", Context: Context{"language": "go", "id": "ü"}}
	sealed, err := records.Seal(ctx, []byte(made.Value), made.Context)
	if err != nil {
		t.Fatal(err)
	}
	made.Record = text.EncodeToString(sealed)
	data, _ := json.Marshal([]map[string]any{{"record": made.Record, "value": made.Value, "context": made.Context}})
	if err := os.WriteFile(filepath.Join(folder, "go.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}
