// Drives notes.go by lines on standard input, as a test does; says what came of each.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	cryptoedge "crypto-edge.example/go"
)

var ctx = context.Background()

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

type asked struct{ Do, ID, Note string }

func do(one asked) (told map[string]any) {
	defer func() {
		if err, failed := recover().(error); failed {
			told = map[string]any{"error": cryptoedge.CodeOf(err)}
			if told["error"] == "" {
				told["error"] = err.Error()
			}
		}
	}()
	switch one.Do {
	case "write":
		write(one.ID, one.Note)
	case "read":
		return map[string]any{"ok": read(one.ID)}
	case "stored":
		return map[string]any{"ok": base64.RawURLEncoding.EncodeToString(stored(one.ID))}
	case "rewrap":
		rewrap([]string{"1", "2", "3"})
	}
	return map[string]any{"ok": nil}
}

func main() {
	must(db.Exec(ctx, "CREATE TABLE IF NOT EXISTS notes (id text PRIMARY KEY, note bytea)"))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var one asked
		check(json.Unmarshal(lines.Bytes(), &one))
		fmt.Println(string(must(json.Marshal(do(one)))))
	}
}
