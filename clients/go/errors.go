package cryptoedge

import (
	"errors"
	"fmt"
)

// Error is every failure of a call: the edge's own code (docs/errors.md) and sentence, or one of this client:
// lease_unavailable where no edge answers, unexpected_answer where what answers is none, invalid_record for what is no record.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"detail"`
	// Status of the answer, or of the item of a batch; 0 where none came.
	Status    int    `json:"status"`
	RequestID string `json:"request_id"`
	// RetryAfterSeconds is when asking again can help, if the edge said.
	RetryAfterSeconds float64 `json:"-"`
	cause             error
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }
func (e *Error) Unwrap() error { return e.cause }

// CodeOf gives the code of an error of this package, and "" for any other.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// MayPass tells whether the same call may succeed a little later; asking again never does harm.
func MayPass(err error) bool {
	code := CodeOf(err)
	return code == "lease_unavailable" || code == "rate_limited" || code == "overloaded"
}

func failure(code, format string, values ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, values...)}
}

func noEdge(cause error) *Error {
	return &Error{Code: "unexpected_answer", Message: "What answers is no edge.", cause: cause}
}
