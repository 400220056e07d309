package cryptoedge

import "context"

// Records of one tenant and service: values encrypted under data keys of an edge, with the wrapped data key inside (docs/records.md). Every
// call asks the edge, beside the application, and no data key is kept: a revocation is in force at once. Lists cost one call.
type Records struct {
	Edge            *Client
	Tenant, Service string
	// KeyContext is the context of the data keys themselves; none for most.
	KeyContext Context
}

// Item of a list to be sealed, or, with Sealed, to be opened or rewrapped.
type Item struct {
	Value, Sealed []byte
	// Context is where the value belongs: it opens with the same context alone.
	Context Context
	// Error is the item's own; only opening and rewrapping a list sets it.
	Error error
}

// Seal encrypts a value under a data key of its own, and binds it to its place.
func (r *Records) Seal(ctx context.Context, value []byte, binding Context) ([]byte, error) {
	items := []Item{{Value: value, Context: binding}}
	err := r.SealMany(ctx, items)
	return items[0].Sealed, err
}

// Open gives a record's value.
func (r *Records) Open(ctx context.Context, sealed []byte, binding Context) ([]byte, error) {
	items := []Item{{Sealed: sealed, Context: binding}}
	if err := r.OpenMany(ctx, items); err != nil {
		return nil, err
	}
	return items[0].Value, items[0].Error
}

// SealMany seals each item's Value into its Sealed.
func (r *Records) SealMany(ctx context.Context, items []Item) error {
	options := CreateOptions{Context: r.KeyContext, Plaintext: true}
	keys, err := r.Edge.CreateKeys(ctx, r.Tenant, r.Service, len(items), options)
	for index := 0; err == nil && index < len(items); index++ {
		var encoded []byte
		if encoded, err = items[index].Context.encode(); err == nil {
			items[index].Sealed, err = seal(keys[index], items[index].Value, encoded)
		}
	}
	return err
}

// OpenMany opens each item's Sealed into its Value, or sets its Error.
func (r *Records) OpenMany(ctx context.Context, items []Item) error {
	return r.each(items, func(wrapped [][]byte) ([]Result, error) {
		return r.Edge.DecryptKeys(ctx, wrapped, r.KeyContext)
	}, func(item *Item, parts *record, key *Key) {
		var encoded []byte
		if encoded, item.Error = item.Context.encode(); item.Error == nil {
			item.Value, item.Error = parts.open(key, encoded)
		}
	})
}

// RewrapMany wraps the data keys of each item's Sealed under the active version, or sets its Error; call it with some thousand rows at a time.
// Values are not touched, records under that version already stay, and records that share a data key go on sharing it.
func (r *Records) RewrapMany(ctx context.Context, items []Item) error {
	return r.each(items, func(wrapped [][]byte) ([]Result, error) {
		return r.Edge.RewrapKeys(ctx, wrapped, r.KeyContext)
	}, func(item *Item, parts *record, key *Key) {
		if !key.WasActive {
			item.Sealed = parts.under(key.Wrapped)
		}
	})
}

// each asks once for each wrapped key, and uses the answer for all of its records.
func (r *Records) each(items []Item, ask func([][]byte) ([]Result, error), use func(*Item, *record, *Key)) error {
	parts, places := make([]*record, len(items)), map[string]int{}
	var asked [][]byte
	for index := range items {
		item := &items[index]
		if parts[index], item.Error = parseRecord(item.Sealed); item.Error != nil {
			continue
		}
		if info := parts[index].info; info.Tenant != r.Tenant || info.Service != r.Service {
			item.Error = failure("decryption_failed", "It was sealed for another tenant or service than is asked for here.")
		} else if id := string(parts[index].wrapped); asked == nil || places[id] == 0 {
			asked = append(asked, parts[index].wrapped)
			places[id] = len(asked)
		}
	}
	answers, err := ask(asked)
	for index := 0; err == nil && index < len(items); index++ {
		if item := &items[index]; item.Error == nil {
			told := answers[places[string(parts[index].wrapped)]-1]
			if item.Error = told.Error; told.Error == nil {
				use(item, parts[index], told.Key)
			}
		}
	}
	return err
}

// BlindIndexToken is for equality search: equal values have equal tokens, and that is what they leak. indexKey is the Wrapped of a key that is
// made once and kept; length is 8 to 32 bytes.
func (r *Records) BlindIndexToken(ctx context.Context, indexKey []byte, field, value string, length int) ([]byte, error) {
	key, err := r.Edge.DecryptKey(ctx, indexKey, r.KeyContext)
	if err != nil || length < 8 || length > 32 {
		return nil, or[error](err, failure("invalid_request", "A token has 8 to 32 bytes."))
	}
	return indexToken(key.Plaintext, field, value, length), nil
}
