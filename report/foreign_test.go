package report

import (
	"slices"
	"testing"
)

// foreignEvidence is a good run with a server of two processes that keeps no ledger and has refused some of the messages.
func foreignEvidence() Evidence {
	e := goodEvidence()
	e.Server, e.Ledger, e.Nodes = "nginx -c nchan.conf", nil, 1
	for i := range e.Samples {
		e.Samples[i].Procs, e.Samples[i].PSS = 2, e.Samples[i].RSS/4
	}
	e.Flood.Messages -= 13
	e.Msggen.Accepted -= 13
	e.Msggen.Status = map[string]int64{"202": 59_987, "404": 12, "503": 1}
	return e
}

func TestForeignServer(t *testing.T) {
	s := Summarize(foreignEvidence())
	want := []string{"13 of 60,000 messages never arrived (13 not confirmed by the server; it answered 404 12, 503 1)."}
	if s.Verdict != Fail || !slices.Equal(s.Reasons, want) {
		t.Errorf("verdict %s, %q, want %q", s.Verdict, s.Reasons, want)
	}
	if s.Messages.Delivered != nil || s.Messages.Gone != nil || *s.Messages.Missing != 13 {
		t.Errorf("messages %+v", s.Messages)
	}
	if got := *s.Memory.UserPerConn; got != 46 { // of PSS: the processes share memory
		t.Errorf("%v bytes per connection, want 46", got)
	}
	// One of which the generator got a ledger all the same, as from another `cometctl serve`, has what that says.
	e := foreignEvidence()
	e.Msggen.Ledger = &Ledger{Sent: 60_000, Delivered: 59_000, Offline: 1000}
	if s := Summarize(e); s.keepsNoLedger() || *s.Messages.Offline != 1000 {
		t.Errorf("messages %+v", s.Messages)
	}
	// One process: its RSS is its own.
	e = foreignEvidence()
	for i := range e.Samples {
		e.Samples[i].Procs = 1
	}
	if got := *Summarize(e).Memory.UserPerConn; got != 184 {
		t.Errorf("%v bytes per connection of one process, want 184", got)
	}
}
