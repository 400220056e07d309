// kms-go, MinIO's KES client, unchanged, against a KES server.
//
//	kes-client genkey                                  prints an API key and its identity
//	kes-client -apikey KEY -ca FILE URL NAME OTHER     an ordinary session; NAME may be used, OTHER may not
//	kes-client -apikey KEY -ca FILE -only generate URL NAME
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/minio/kms-go/kes"
)

var failed bool

// check says how a call ended; want is the exact error of kms-go, which is compared by status and text.
func check(what string, want, err error, more ...any) {
	word := "ok  "
	if (want == nil) != (err == nil) || (want != nil && !errors.Is(err, want)) {
		word, failed = "FAIL", true
	}
	fmt.Println(word, what, "err:", err, fmt.Sprint(more...))
}

func expect(what string, holds bool) {
	if !holds {
		failed = true
		fmt.Println("FAIL", what)
	}
}

func main() {
	apiKey := flag.String("apikey", "", "")
	ca := flag.String("ca", "", "")
	what := flag.String("only", "", "generate: nothing else")
	flag.Parse()
	if flag.Arg(0) == "genkey" {
		key, err := kes.GenerateAPIKey(nil)
		if err != nil {
			panic(err)
		}
		fmt.Println(key.String(), key.Identity())
		return
	}
	key, err := kes.ParseAPIKey(*apiKey)
	if err != nil {
		panic(err)
	}
	certificate, err := kes.GenerateCertificate(key)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(*ca)
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		panic("no CA")
	}
	client := kes.NewClientWithConfig(flag.Arg(0), &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{certificate},
	})
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	name, other := flag.Arg(1), flag.Arg(2)
	if *what == "generate" {
		made, err := client.GenerateKey(ctx, name, nil)
		fmt.Println(len(made.Plaintext), err)
		return
	}
	session(ctx, client, key.Identity(), name, other)
	if failed {
		os.Exit(1)
	}
	fmt.Println("OK")
}

func session(ctx context.Context, client *kes.Client, identity kes.Identity, name, other string) {
	version, err := client.Version(ctx)
	check("version", nil, err, version)
	state, err := client.Status(ctx)
	check("status", nil, err)
	expect("the key store is there", state.KeyStoreReachable && state.KeystoreAvailable)
	ready, err := client.IsReady(ctx)
	check("ready", nil, err)
	expect("it is ready", ready)
	self, _, err := client.DescribeSelf(ctx)
	check("self describe", nil, err)
	expect("the identity is that of the API key", self != nil && self.Identity == identity)

	check("create", kes.ErrNotAllowed, client.CreateKey(ctx, "new-key"))
	check("import", kes.ErrNotAllowed, client.ImportKey(ctx, "new-key", &kes.ImportKeyRequest{Key: make([]byte, 32), Cipher: kes.AES256}))
	check("delete", kes.ErrNotAllowed, client.DeleteKey(ctx, name))
	names, next, err := client.ListKeys(ctx, "", 0)
	check("list", nil, err, names)
	expect("the list is what the caller may use", len(names) == 1 && names[0] == name && next == "")
	info, err := client.DescribeKey(ctx, name)
	check("describe", nil, err)
	expect("an AES-256 key is described", info != nil && info.Name == name && info.Algorithm == kes.AES256)
	_, err = client.DescribeKey(ctx, name+"-nope")
	check("describe unknown", kes.ErrKeyNotFound, err)
	_, err = client.DescribeKey(ctx, other)
	check("describe what others may use", kes.ErrNotAllowed, err)

	made, err := client.GenerateKey(ctx, name, []byte("context"))
	check("generate", nil, err)
	expect("a data key has 32 bytes", len(made.Plaintext) == 32)
	plaintext, err := client.Decrypt(ctx, name, made.Ciphertext, []byte("context"))
	check("decrypt", nil, err)
	expect("it is the same key", bytes.Equal(plaintext, made.Plaintext))
	_, err = client.Decrypt(ctx, name, made.Ciphertext, []byte("another"))
	check("decrypt with another context", kes.ErrDecrypt, err)
	_, err = client.Decrypt(ctx, name, made.Ciphertext, nil)
	check("decrypt without context", kes.ErrDecrypt, err)
	_, err = client.Decrypt(ctx, name, made.Ciphertext[1:], []byte("context"))
	check("decrypt what is no ciphertext", kes.ErrDecrypt, err)
	empty, err := client.GenerateKey(ctx, name, []byte("{}"))
	check("generate with {}", nil, err)
	_, err = client.Decrypt(ctx, name, empty.Ciphertext, nil)
	check("decrypt without {}", kes.ErrDecrypt, err)
	ciphertext, err := client.Encrypt(ctx, name, []byte("plain of any length"), nil)
	check("encrypt", nil, err)
	plaintext, err = client.Decrypt(ctx, name, ciphertext, []byte{})
	check("decrypt", nil, err)
	expect("it is the same text", string(plaintext) == "plain of any length")
	_, err = client.GenerateKey(ctx, name+"-nope", nil)
	check("generate under an unknown key", kes.ErrKeyNotFound, err)
	_, err = client.GenerateKey(ctx, other, nil)
	check("generate under a key of others", kes.ErrNotAllowed, err)
	_, err = client.HMAC(ctx, name, []byte("message"))
	var status kes.Error
	expect("hmac is not implemented", errors.As(err, &status) && status.Status() == 501)
}
