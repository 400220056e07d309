// The application: notes in a table whose text is encrypted.
package main

import (
	"os"

	cryptoedge "crypto-edge.example/go"
	"github.com/jackc/pgx/v5"
)

var (
	records = cryptoedge.Records{Edge: must(cryptoedge.New(os.Getenv("CRYPTO_EDGE_URL"), cryptoedge.Options{})), Tenant: "tenant-a", Service: "billing"}
	db      = must(pgx.Connect(ctx, os.Getenv("DATABASE_URL")))
)

func write(id, note string) {
	sealed := must(records.Seal(ctx, []byte(note), cryptoedge.Context{"table": "notes", "id": id}))
	must(db.Exec(ctx, "INSERT INTO notes VALUES ($1, $2)", id, sealed))
}

func read(id string) string {
	return string(must(records.Open(ctx, stored(id), cryptoedge.Context{"table": "notes", "id": id})))
}

func rewrap(ids []string) {
	for _, id := range ids {
		items := []cryptoedge.Item{{Sealed: stored(id)}}
		check(records.RewrapMany(ctx, items))
		must(db.Exec(ctx, "UPDATE notes SET note = $1 WHERE id = $2", items[0].Sealed, id))
	}
}

func stored(id string) []byte {
	return must(pgx.CollectExactlyOneRow(must(db.Query(ctx, "SELECT note FROM notes WHERE id = $1", id)), pgx.RowTo[[]byte]))
}
