package main

import (
	"encoding/json"
	"testing"

	"cometctl/msggen"
)

func TestReceiptText(t *testing.T) {
	for answer, want := range map[string]string{
		`{"sent":1,"delivered":1}`:                         "delivered to 1 session",
		`{"sent":1,"delivered":2,"pending":1,"dropped":3}`: "delivered to 2 sessions, queued for 1 session, dropped, as it is too slow, for 3 sessions",
		`{"sent":1,"offline":1}`:                           "nobody is logged in as 7: the message went into the void",
		`{"sent":1,"forwarded":1,"remote":1}`:              "handed to 1 session on other nodes",
		`{"sent":1,"forwarded":1,"remote":2}`:              "handed to 2 sessions on other nodes",
		`{"sent":1,"forwarded":1,"remote":0}`:              "passed on to other nodes",
		`{"sent":1,"forwarded":1}`:                         "passed on to other nodes",
		`{"sent":1,"delivered":1,"remote":2}`:              "delivered to 1 session, handed to 2 sessions on other nodes",
		`{"sent":1,"unpublished":1}`:                       "nobody is logged in as 7 here, and the other nodes cannot be reached: the message is lost",
		`{"sent":1}`:                                       "the server took the message",
	} {
		var r msggen.Receipt
		if err := json.Unmarshal([]byte(answer), &r); err != nil {
			t.Fatal(err)
		}
		if got := receiptText("7", r); got != want {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
	}
}
