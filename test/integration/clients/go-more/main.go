// Tink (Go) with AWS KMS, and go-kms-wrapping's awskms and transit wrappers (what Vault, OpenBao and Boundary unseal with).
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
	awskmswrap "github.com/hashicorp/go-kms-wrapping/wrappers/awskms/v2"
	"github.com/hashicorp/go-kms-wrapping/wrappers/transit/v2"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/aead"
)

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
	return v
}

func main() {
	ctx := context.Background()
	arn := os.Getenv("KMS_ARN")
	switch os.Args[1] {
	case "tink":
		c := must(awskms.NewClientWithOptions(ctx, "aws-kms://"+arn, awskms.WithEncryptionContextName(awskms.AssociatedData)))
		remote := must(c.GetAEAD("aws-kms://" + arn))
		a := aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), remote)
		ct := must(a.Encrypt([]byte("hello"), []byte("ad")))
		fmt.Println("tink-go", string(must(a.Decrypt(ct, []byte("ad")))), len(ct))
	case "awskms", "transit":
		var w wrapping.Wrapper = awskmswrap.NewWrapper()
		if os.Args[1] == "transit" {
			w = transit.NewWrapper()
		}
		cfg := must(w.(interface {
			SetConfig(context.Context, ...wrapping.Option) (*wrapping.WrapperConfig, error)
		}).SetConfig(ctx, wrapping.WithConfigMap(map[string]string{"kms_key_id": os.Getenv("KMS_KEY"), "region": "us-east-1", "mount_path": "transit", "key_name": os.Getenv("TRANSIT_KEY")})))
		blob := must(w.Encrypt(ctx, []byte("root key of thirty-two bytes ...")))
		if !bytes.Equal(must(w.Decrypt(ctx, blob)), []byte("root key of thirty-two bytes ...")) {
			fmt.Println("FAILED")
			os.Exit(1)
		}
		fmt.Println(os.Args[1], must(w.KeyId(ctx)), cfg.Metadata)
	}
}
