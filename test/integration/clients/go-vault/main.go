package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"time"

	vault "github.com/hashicorp/vault/api"
)

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
	return v
}

func main() {
	c := must(vault.NewClient(vault.DefaultConfig()))
	key := os.Getenv("TRANSIT_KEY")
	mount := os.Getenv("MOUNT")
	if mount == "" {
		mount = "transit"
	}
	if len(os.Args) > 2 && os.Args[1] == "fail" {
		t := time.Now()
		_, err := c.Logical().Write(mount+"/encrypt/"+key, map[string]any{"plaintext": "AAAA"})
		var r *vault.ResponseError
		if !errors.As(err, &r) || fmt.Sprint(r.StatusCode) != os.Args[2] {
			fmt.Println("FAILED", err)
			os.Exit(1)
		}
		fmt.Printf("ResponseError %d %v in %v\n", r.StatusCode, r.Errors, time.Since(t).Round(100*time.Millisecond))
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "made" {
		must(c.Logical().Write(mount+"/datakey/plaintext/"+key, nil))
		return
	}
	p := base64.StdEncoding.EncodeToString(make([]byte, 32))
	e := must(c.Logical().Write(mount+"/encrypt/"+key, map[string]any{"plaintext": p}))
	d := must(c.Logical().Write(mount+"/decrypt/"+key, map[string]any{"ciphertext": e.Data["ciphertext"]}))
	if d.Data["plaintext"] != p {
		fmt.Println("FAILED", d.Data)
		os.Exit(1)
	}
	must(c.Logical().Write(mount+"/rewrap/"+key, map[string]any{"ciphertext": e.Data["ciphertext"]}))
	k := must(c.Logical().Write(mount+"/datakey/plaintext/"+key, nil))
	fmt.Println(len(k.Data))
	fmt.Println(must(c.Logical().Read(mount + "/keys/" + key)).Data["latest_version"], must(c.Logical().List(mount + "/keys")).Data["keys"])
	r, err := c.Logical().Read(mount + "/keys/nosuch.x")
	if r != nil || err != nil {
		fmt.Println("FAILED", r, err)
		os.Exit(1)
	}
	h := must(c.Sys().Health())
	fmt.Println(h.Version, must(c.Sys().SealStatus()).Sealed)
	fmt.Println(must(c.Auth().Token().LookupSelf()).Data["id"])
}
