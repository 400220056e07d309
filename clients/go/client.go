// Package cryptoedge makes and opens data keys at an edge beside the application, and encrypts records under them.
//
//	edge, err := cryptoedge.New("unix:/run/crypto-edge/billing.sock", cryptoedge.Options{})
//	records := cryptoedge.Records{Edge: edge, Tenant: "tenant-a", Service: "billing"}
//	sealed, err := records.Seal(ctx, []byte("invoice 4711"), cryptoedge.Context{"table": "invoices", "id": "4711"})
//	value, err := records.Open(ctx, sealed, cryptoedge.Context{"table": "invoices", "id": "4711"})
package cryptoedge

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const batchMax = 10_000

// Options of a client; the zero value is fine.
type Options struct {
	// TLS for https://: client certificate and the edge's CA.
	TLS *tls.Config
	// Token is asked for each call and sent as a bearer token.
	Token func() string
	// Timeout of a call with all its retries; 10 s unless given.
	Timeout time.Duration
	// Attempts at most; 3 unless given.
	Attempts int
}

// Client of one edge; make one and keep it. Safe for concurrent use.
type Client struct {
	base    string
	http    *http.Client
	options Options
}

// New makes a client for unix:/run/crypto-edge/billing.sock, https://… or, on this machine, http://127.0.0.1:7402.
func New(address string, options Options) (*Client, error) {
	options.Timeout, options.Attempts = or(options.Timeout, 10*time.Second), or(options.Attempts, 3)
	// Without a Proxy function: never one of the environment.
	transport := &http.Transport{TLSClientConfig: options.TLS, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client := &Client{strings.TrimRight(address, "/"), &http.Client{Transport: transport, CheckRedirect: stay}, options}
	if path, isSocket := strings.CutPrefix(address, "unix:"); isSocket {
		client.base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		return client, nil
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return nil, failure("invalid_request", "%s is no address of an edge: http://, https:// or unix:/path.", address)
	}
	ip := net.ParseIP(parsed.Hostname())
	if parsed.Scheme == "http" && parsed.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, failure("invalid_request", "%s would send data keys over the network in the clear: use https://.", address)
	}
	return client, nil
}

// Key is a data key: created, opened or rewrapped.
type Key struct {
	// Wrapped is what is stored beside the data.
	Wrapped []byte
	WrappedKeyInfo
	// Plaintext is the data key, where it was asked for.
	Plaintext []byte
	// CacheSeconds is how long the data key may be kept; 0 for not at all.
	CacheSeconds float64
	// WasActive, of a rewrap: it was under the active version already, and the old one can stay.
	WasActive bool
}

// Result is a key or its own error.
type Result struct {
	Key   *Key
	Error error
}

// CreateOptions of a data key. Length: 16, 32 (unless given) or 64. Plaintext: whether the data key is wanted too.
type CreateOptions struct {
	Context   Context
	Length    int
	Plaintext bool
}

type answer struct {
	Wrapped, Plaintext string
	CacheSeconds       float64 `json:"cache_seconds"`
	Error              *Error
	// Of batches.
	Keys, Results []*answer
}

// key reads an answer; old is the wrapped key that was asked about.
func (a *answer) key(old []byte) (*Key, error) {
	if a.Error != nil {
		return nil, a.Error
	}
	wrapped, err := text.DecodeString(a.Wrapped)
	plaintext, second := text.DecodeString(a.Plaintext)
	if a.Wrapped == "" {
		wrapped = old
	}
	info, third := ParseWrapped(wrapped)
	if err = errors.Join(err, second, third); err != nil {
		return nil, noEdge(err)
	}
	before, err := ParseWrapped(old)
	return &Key{wrapped, info, plaintext, a.CacheSeconds, err == nil && before.Version == info.Version}, nil
}

func (o CreateOptions) body(tenant, service string) map[string]any {
	body := map[string]any{"tenant": tenant, "service": service, "length": or(o.Length, 32), "plaintext": o.Plaintext}
	if o.Context != nil {
		body["context"] = o.Context
	}
	return body
}

func item(wrapped []byte, binding Context) map[string]any {
	if binding == nil {
		binding = Context{}
	}
	return map[string]any{"wrapped": text.EncodeToString(wrapped), "context": binding}
}

// CreateKey makes a data key and wraps it.
func (c *Client) CreateKey(ctx context.Context, tenant, service string, options CreateOptions) (*Key, error) {
	return c.one(ctx, "create", options.body(tenant, service), nil)
}

// DecryptKey opens a wrapped key.
func (c *Client) DecryptKey(ctx context.Context, wrapped []byte, binding Context) (*Key, error) {
	return c.one(ctx, "decrypt", item(wrapped, binding), wrapped)
}

// RewrapKey wraps the same data key under the active version; it is not shown.
func (c *Client) RewrapKey(ctx context.Context, wrapped []byte, binding Context) (*Key, error) {
	return c.one(ctx, "rewrap", item(wrapped, binding), wrapped)
}

func (c *Client) one(ctx context.Context, operation string, body any, old []byte) (*Key, error) {
	told, err := c.call(ctx, operation, body)
	if err != nil {
		return nil, err
	}
	return told.key(old)
}

// CreateKeys makes any number of data keys: they are split into requests of 10,000.
func (c *Client) CreateKeys(ctx context.Context, tenant, service string, count int, options CreateOptions) ([]*Key, error) {
	made := make([]*Key, 0, count)
	for body := options.body(tenant, service); len(made) < count; {
		body["count"] = min(count-len(made), batchMax)
		told, err := c.call(ctx, "create-batch", body)
		if err != nil {
			return nil, err
		}
		for _, one := range told.Keys {
			key, err := one.key(nil)
			if err != nil {
				return nil, err
			}
			made = append(made, key)
		}
	}
	return made, nil
}

// DecryptKeys gives a key or its own error for each, in the order asked; any number.
func (c *Client) DecryptKeys(ctx context.Context, wrapped [][]byte, binding Context) ([]Result, error) {
	return c.many(ctx, "decrypt-batch", wrapped, binding)
}

// RewrapKeys is RewrapKey for a list.
func (c *Client) RewrapKeys(ctx context.Context, wrapped [][]byte, binding Context) ([]Result, error) {
	return c.many(ctx, "rewrap-batch", wrapped, binding)
}

func (c *Client) many(ctx context.Context, operation string, wrapped [][]byte, binding Context) ([]Result, error) {
	results := make([]Result, 0, len(wrapped))
	for most := batchMax; len(results) < len(wrapped); {
		part := wrapped[len(results):min(len(results)+most, len(wrapped))]
		items := make([]any, len(part))
		for index, one := range part {
			items[index] = item(one, binding)
		}
		told, err := c.call(ctx, operation, map[string]any{"items": items})
		if CodeOf(err) == "too_large" && len(part) > 1 {
			most = (len(part) + 1) / 2
			continue
		}
		if err == nil && len(told.Results) != len(part) {
			err = noEdge(nil)
		}
		if err != nil {
			return nil, err
		}
		for index := range part {
			key, err := told.Results[index].key(part[index])
			results = append(results, Result{key, err})
		}
	}
	return results, nil
}

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.options.Token != nil {
		request.Header.Set("Authorization", "Bearer "+c.options.Token())
	}
	return c.http.Do(request)
}

func (c *Client) call(outer context.Context, operation string, body any) (*answer, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(outer, c.options.Timeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	for attempt, bound := 1, 50*time.Millisecond; ; attempt, bound = attempt+1, min(bound*2, 2*time.Second) {
		told, err := c.send(ctx, "/v1/keys/"+operation, encoded)
		if err == nil || outer.Err() != nil || !MayPass(err) || attempt >= c.options.Attempts {
			return told, errors.Join(err, outer.Err())
		}
		pause := time.Duration(rand.Int63n(int64(bound)))
		if failed := (*Error)(nil); errors.As(err, &failed) {
			pause = max(pause, time.Duration(failed.RetryAfterSeconds*float64(time.Second)))
		}
		if time.Now().Add(pause).After(deadline) {
			return nil, err
		}
		time.Sleep(pause)
	}
}

// What a proxy answers without an explanation.
var unexplained = map[int]string{413: "too_large", 429: "rate_limited", 502: "lease_unavailable", 503: "lease_unavailable", 504: "lease_unavailable"}

func (c *Client) send(ctx context.Context, path string, body []byte) (*answer, error) {
	var data []byte
	response, err := c.request(ctx, "POST", path, body)
	if err == nil {
		data, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	if err != nil {
		return nil, &Error{Code: "lease_unavailable", Message: "No edge answers: " + err.Error(), cause: err}
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		told := &Error{RequestID: response.Header.Get("X-Request-Id"), Message: "An answer that explains nothing."}
		if json.Unmarshal(data, told) != nil || told.Code == "" {
			told.Code = or(unexplained[response.StatusCode], "unexpected_answer")
		}
		told.Status = response.StatusCode
		told.RetryAfterSeconds, _ = strconv.ParseFloat(response.Header.Get("Retry-After"), 64)
		return nil, told
	}
	told := new(answer)
	if err := json.Unmarshal(data, told); err != nil {
		return nil, noEdge(err)
	}
	return told, nil
}

// or gives the first that is not the zero value.
func or[T comparable](value, other T) T {
	if value == *new(T) {
		return other
	}
	return value
}
