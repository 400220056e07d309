// Drives the very code that kube-apiserver runs for KMS v2 (LoadEncryptionConfig: probe loop, DEK seed, transformers).
// usage: apiserver unix:///path/kms.sock [-n 5] [-watch 150s]
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
	kmstypes "k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2"
)

func must(err error) {
	if err != nil {
		fmt.Println("FAIL:", err)
		os.Exit(1)
	}
}

func load(ctx context.Context, endpoint string) *encryptionconfig.EncryptionConfiguration {
	dir, _ := os.MkdirTemp("", "enc")
	file := filepath.Join(dir, "enc.yaml")
	must(os.WriteFile(file, []byte(fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - kms: {apiVersion: v2, name: crypto-edge, endpoint: %q, timeout: 3s}
      - identity: {}
`, endpoint)), 0o600))
	c, err := encryptionconfig.LoadEncryptionConfig(ctx, file, false, "apiserver-1")
	must(err)
	return c
}

func main() {
	n := flag.Int("n", 5, "objects")
	untilStale := flag.Duration("until-stale", 0, "stay for so long, until what was stored reads as stale and new writes have another key id")
	steady := flag.Duration("steady", 0, "start anew again and again for so long, each time with connections of its own")
	refused := flag.Bool("refused", false, "expect that the health check fails")
	flag.Parse()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gr := schema.GroupResource{Resource: "secrets"}
	c := load(ctx, flag.Arg(0))
	req, _ := http.NewRequest("GET", "/healthz", nil)
	if *refused {
		err := c.HealthChecks[0].Check(req)
		fmt.Println("refused:", err)
		if err == nil {
			os.Exit(1)
		}
		return
	}
	must(c.HealthChecks[0].Check(req))
	fmt.Println("healthy:", c.HealthChecks[0].Name())
	tr := c.Transformers[gr]
	var stored [][]byte
	for i := 0; i < *n; i++ {
		out, err := tr.TransformToStorage(ctx, []byte(fmt.Sprintf("secret %d", i)), value.DefaultContext(fmt.Sprintf("/registry/secrets/default/%d", i)))
		must(err)
		stored = append(stored, out)
	}
	var o kmstypes.EncryptedObject
	must(proto.Unmarshal(stored[0][bytes.Index(stored[0], []byte("crypto-edge:"))+len("crypto-edge:"):], &o))
	fmt.Printf("etcd prefix %q keyID %q encryptedDEKSource %d bytes type %v annotations %v\n", stored[0][:bytes.Index(stored[0], []byte("crypto-edge:"))+12], o.KeyID, len(o.EncryptedDEKSource), o.EncryptedDEKSourceType, o.Annotations)
	// A second apiserver that has nothing cached must read what the first wrote: this is what calls Decrypt.
	c2 := load(ctx, flag.Arg(0))
	for i, s := range stored {
		out, stale, err := c2.Transformers[gr].TransformFromStorage(ctx, s, value.DefaultContext(fmt.Sprintf("/registry/secrets/default/%d", i)))
		must(err)
		if string(out) != fmt.Sprintf("secret %d", i) || stale {
			fmt.Println("FAIL: wrong or stale", string(out), stale)
			os.Exit(1)
		}
	}
	// Changed ciphertext must not open.
	bad := proto.Clone(&o).(*kmstypes.EncryptedObject)
	bad.EncryptedDEKSource[len(bad.EncryptedDEKSource)-1] ^= 1
	b, _ := proto.Marshal(bad)
	_, _, err := c2.Transformers[gr].TransformFromStorage(ctx, append([]byte("k8s:enc:kms:v2:crypto-edge:"), b...), value.DefaultContext("/registry/secrets/default/0"))
	fmt.Println("altered DEK source:", err)
	if err == nil {
		os.Exit(1)
	}
	fmt.Println("OK")
	starts := 0
	for end := time.Now().Add(*steady); time.Now().Before(end); starts++ {
		again, stop := context.WithCancel(ctx)
		each := load(again, flag.Arg(0))
		must(each.HealthChecks[0].Check(req))
		out, _, err := each.Transformers[gr].TransformFromStorage(again, stored[0], value.DefaultContext("/registry/secrets/default/0"))
		must(err)
		if string(out) != "secret 0" {
			must(fmt.Errorf("wrong: %q", out))
		}
		stop()
	}
	if *steady > 0 {
		fmt.Println("starts:", starts)
	}
	if *untilStale == 0 {
		return
	}
	for end := time.Now().Add(*untilStale); time.Now().Before(end); time.Sleep(time.Second) {
		must(c.HealthChecks[0].Check(req))
		_, stale, err := tr.TransformFromStorage(ctx, stored[0], value.DefaultContext("/registry/secrets/default/0"))
		must(err)
		out, err := tr.TransformToStorage(ctx, []byte("x"), value.DefaultContext("/registry/secrets/default/x"))
		must(err)
		var written kmstypes.EncryptedObject
		must(proto.Unmarshal(out[bytes.Index(out, []byte("crypto-edge:"))+len("crypto-edge:"):], &written))
		if stale && written.KeyID != o.KeyID {
			fmt.Println("rotated:", written.KeyID)
			return
		}
	}
	fmt.Println("FAIL: not stale in time")
	os.Exit(1)
}
