package cryptoedge

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"regexp"
	"sort"
	"unicode/utf8"
)

// Context binds a key or a record to texts that are given again, equal, to open it.
type Context map[string]string

var (
	fixed = []byte{'L', 'R', 1, 0}
	name  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)
	text  = base64.RawURLEncoding.Strict()
)

// encode is the context's one encoding (blob-format.md, "Encryption context").
func (c Context) encode() ([]byte, error) {
	if len(c) == 0 {
		return nil, nil
	}
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	encoded := binary.BigEndian.AppendUint16(nil, uint16(len(c)))
	for _, key := range keys {
		for _, part := range []string{key, c[key]} {
			if key == "" || len(part) > 8192 || !utf8.ValidString(part) {
				return nil, failure("invalid_request", "A context has no empty key, and valid UTF-8 of 8,192 bytes at most.")
			}
			encoded = append(binary.BigEndian.AppendUint16(encoded, uint16(len(part))), part...)
		}
	}
	if len(c) > 64 || len(encoded) > 8192 {
		return nil, failure("invalid_request", "A context has at most 64 entries and 8,192 bytes.")
	}
	return encoded, nil
}

// WrappedKeyInfo is what a wrapped key says of itself; nothing of it is verified.
type WrappedKeyInfo struct {
	Tenant, Service string
	Version         uint32
	// Suite 1: a data key that the edge made. 2: a value that the application chose.
	Suite, Length int
}

// ParseWrapped reads tenant, service, version and suite out of a wrapped key, offline.
func ParseWrapped(wrapped []byte) (WrappedKeyInfo, error) {
	malformed := failure("invalid_blob", "This is not a wrapped key: its fields do not add up.")
	if len(wrapped) < 10 || string(wrapped[:3]) != "L4\x01" {
		return WrappedKeyInfo{}, malformed
	}
	tenantEnd := 9 + int(wrapped[8])
	if tenantEnd >= len(wrapped) {
		return WrappedKeyInfo{}, malformed
	}
	serviceEnd := tenantEnd + 1 + int(wrapped[tenantEnd])
	length := len(wrapped) - serviceEnd - 16 - 12 - 32 - 16
	suite := int(wrapped[3])
	fits := suite == 1 && (length == 16 || length == 32 || length == 64) || suite == 2 && length >= 1 && length <= 65536
	if !fits {
		return WrappedKeyInfo{}, malformed
	}
	info := WrappedKeyInfo{string(wrapped[9:tenantEnd]), string(wrapped[tenantEnd+1 : serviceEnd]), binary.BigEndian.Uint32(wrapped[4:]), suite, length}
	if info.Version == 0 || !name.MatchString(info.Tenant) || !name.MatchString(info.Service) {
		return WrappedKeyInfo{}, malformed
	}
	return info, nil
}

func mac(key []byte, parts ...[]byte) []byte {
	hash := hmac.New(sha256.New, key)
	for _, part := range parts {
		hash.Write(part)
	}
	return hash.Sum(nil)
}

// hkdf is HKDF-SHA-256 without a salt (RFC 5869), 64 bytes.
func hkdf(key, info []byte) []byte {
	extracted := mac(make([]byte, 32), key)
	first := mac(extracted, info, []byte{1})
	return append(first, mac(extracted, first, info, []byte{2})...)
}

func indexToken(dataKey []byte, field, value string, length int) []byte {
	key := hkdf(dataKey, []byte("crypto-edge blind index v1\x00"+field))[:32]
	return mac(key, []byte(value))[:length]
}

type record struct {
	wrapped, nonce, commitment, sealed []byte
	info                               WrappedKeyInfo
}

func parseRecord(data []byte) (*record, error) {
	malformed := failure("invalid_record", "This is not a record. Pass it exactly as it was sealed.")
	if len(data) < 6 || string(data[:4]) != string(fixed) {
		return nil, malformed
	}
	end := 6 + int(binary.BigEndian.Uint16(data[4:]))
	if len(data) < end+12+32+16 {
		return nil, malformed
	}
	info, err := ParseWrapped(data[6:end])
	if err != nil || info.Suite != 1 || info.Length != 32 {
		return nil, malformed
	}
	return &record{data[6:end], data[end : end+12], data[end+12 : end+44], data[end+44:], info}, nil
}

// under is the same record under another wrapped key of its data key.
func (r *record) under(wrapped []byte) []byte {
	return append(append(append(start(wrapped), r.nonce...), r.commitment...), r.sealed...)
}

func start(wrapped []byte) []byte {
	return append(binary.BigEndian.AppendUint16(append([]byte(nil), fixed...), uint16(len(wrapped))), wrapped...)
}

// derive gives what records derive from a data key: the cipher, and the additional data up to the context, which ends with the commitment.
func derive(key *Key) (cipher.AEAD, []byte, error) {
	if len(key.Plaintext) != 32 {
		return nil, nil, noEdge(nil)
	}
	derived := hkdf(key.Plaintext, append([]byte("crypto-edge record v1\x00"), fixed...))
	block, err := aes.NewCipher(derived[:32])
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, append(append([]byte(nil), fixed...), derived[32:]...), err
}

func seal(key *Key, value, context []byte) ([]byte, error) {
	aead, data, err := derive(key)
	nonce := make([]byte, 12)
	if _, random := rand.Read(nonce); err != nil || random != nil {
		return nil, errors.Join(err, random)
	}
	head := append(append(start(key.Wrapped), nonce...), data[len(fixed):]...)
	return aead.Seal(head, nonce, value, append(data, context...)), nil
}

func (r *record) open(key *Key, context []byte) ([]byte, error) {
	aead, data, err := derive(key)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(r.commitment, data[len(fixed):]) == 1 {
		if value, err := aead.Open(nil, r.nonce, r.sealed, append(data, context...)); err == nil {
			return value, nil
		}
	}
	// One error for all of it, so that nobody learns which.
	return nil, failure("decryption_failed", "The record was altered, or the context is not the one of its sealing.")
}
