package cryptoedge

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

type vector struct {
	Name, Record, Value, Code, Token, Field string
	DataKey                                 string `json:"data_key"`
	Context                                 Context
	Bytes                                   int
}

func readVectors(t *testing.T) (vectors struct{ Open, Refuse, Tokens []vector }) {
	data, err := os.ReadFile("../../test/vectors/record-v1.json")
	if err == nil {
		err = json.Unmarshal(data, &vectors)
	}
	if err != nil {
		t.Fatal(err)
	}
	return vectors
}

func unhex(t *testing.T, text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func openWith(data []byte, dataKey []byte, context Context) ([]byte, error) {
	parts, err := parseRecord(data)
	if err != nil {
		return nil, err
	}
	encoded, err := context.encode()
	if err != nil {
		return nil, err
	}
	return parts.open(&Key{Plaintext: dataKey}, encoded)
}

func TestVectorsOpen(t *testing.T) {
	for _, one := range readVectors(t).Open {
		value, err := openWith(unhex(t, one.Record), unhex(t, one.DataKey), one.Context)
		if err != nil || hex.EncodeToString(value) != one.Value {
			t.Errorf("%s: %x, %v", one.Name, value, err)
		}
	}
}

func TestVectorsAreRefusedWithTheirCode(t *testing.T) {
	vectors := readVectors(t)
	dataKey := unhex(t, vectors.Open[1].DataKey)
	for _, one := range vectors.Refuse {
		if one.Name == "the wrapped key of another record" {
			// An edge gives another data key for it.
			dataKey = make([]byte, 32)
		}
		if _, err := openWith(unhex(t, one.Record), dataKey, one.Context); CodeOf(err) != one.Code {
			t.Errorf("%s: %v instead of %s", one.Name, err, one.Code)
		}
		dataKey = unhex(t, vectors.Open[1].DataKey)
	}
}

func TestTokens(t *testing.T) {
	for _, one := range readVectors(t).Tokens {
		if token := indexToken(unhex(t, one.DataKey), one.Field, one.Value, one.Bytes); hex.EncodeToString(token) != one.Token {
			t.Errorf("%s of %q: %x", one.Field, one.Value, token)
		}
	}
}

func TestWhatIsSealedOpensInItsPlaceAlone(t *testing.T) {
	wrapped, _ := parseRecord(unhex(t, readVectors(t).Open[0].Record))
	key := &Key{Wrapped: wrapped.wrapped, Plaintext: make([]byte, 32)}
	context, _ := Context{"b": "ü", "a": "\U0001f512"}.encode()
	sealed, err := seal(key, []byte("value"), context)
	if err != nil {
		t.Fatal(err)
	}
	if value, err := openWith(sealed, key.Plaintext, Context{"a": "\U0001f512", "b": "ü"}); string(value) != "value" || err != nil {
		t.Errorf("%q, %v", value, err)
	}
	if _, err := openWith(sealed, key.Plaintext, nil); CodeOf(err) != "decryption_failed" {
		t.Error(err)
	}
	for index := range sealed {
		if index >= 6 && index < 6+len(wrapped.wrapped) {
			// Opens at no edge when it is altered; here the data key is given.
			continue
		}
		altered := append([]byte(nil), sealed...)
		altered[index] ^= 1
		if _, err := openWith(altered, key.Plaintext, Context{"a": "\U0001f512", "b": "ü"}); err == nil {
			t.Errorf("opened with byte %d altered", index)
		}
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for _, nonsense := range [][]byte{nil, make([]byte, 5), make([]byte, 500), []byte("LR\x01\x00\xff\xff")} {
		if _, err := parseRecord(nonsense); CodeOf(err) != "invalid_record" {
			t.Error(err)
		}
		if _, err := ParseWrapped(nonsense); CodeOf(err) != "invalid_blob" {
			t.Error(err)
		}
	}
	many := Context{}
	for index := 0; index < 65; index++ {
		many[hex.EncodeToString([]byte{byte(index)})] = ""
	}
	for _, context := range []Context{{"": "x"}, {"a": "\xff"}, {"a": string(make([]byte, 8193))}, many} {
		if _, err := context.encode(); CodeOf(err) != "invalid_request" {
			t.Error(err)
		}
	}
}
