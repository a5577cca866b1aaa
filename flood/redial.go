package flood

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Redial says when a connection that failed or ended is dialed again. The zero Redial is never.
type Redial struct {
	Policy  Policy        `json:"policy,omitempty"`
	First   time.Duration `json:"first_ns,omitzero"` // PolicyAbout: the wait; PolicyBackoff: the most of the first wait
	Most    time.Duration `json:"most_ns,omitzero"`  // PolicyBackoff: the most of any wait
	Respect bool          `json:"respect,omitempty"` // the wait begins when the time is over that the server has named: SSE's retry, HTTP's Retry-After
	Resume  bool          `json:"resume,omitempty"`  // the next connection asks for what came since the last: Last-Event-ID, or a poll's cursor
}

// Policy is a way to wait, see the constants.
type Policy string

// The policies of a Redial.
const (
	PolicyNone      Policy = ""
	PolicyImmediate Policy = "immediate" // an open connection that ends is dialed again at once; a failure waits some 100 ms
	PolicyAbout     Policy = "about"     // half of First to one and a half, drawn evenly
	PolicyBackoff   Policy = "backoff"   // none to First, then to twice that, and so on up to Most, drawn evenly (full jitter)
)

// Defaults of a Redial by PolicyBackoff, as ParseRedial makes it.
const (
	DefaultBackoffFirst = 500 * time.Millisecond
	DefaultBackoffMost  = 30 * time.Second
)

// failedPause is the middle of an immediate Redial's wait behind a failure. Who is refused at once would otherwise do nothing else.
const failedPause = 100 * time.Millisecond

// maxWait bounds what a Redial, and what a server, may ask to wait.
const maxWait = 24 * time.Hour

// Errors of a Redial's text. Each reads on from the text itself.
var (
	errRedial  = errors.New("give none, immediate, backoff, or a time such as 500ms")
	errBackoff = errors.New("give two times, the first no longer than the second, such as 500ms..30s")
)

// ParseRedial reads the value of --reconnect: none, immediate, backoff, or a time (of which 0 is none). Its errors read on from the flag.
func ParseRedial(s string) (Redial, error) {
	switch s {
	case "", "none":
		return Redial{}, nil
	case "immediate":
		return Redial{Policy: PolicyImmediate}, nil
	case "backoff":
		return Redial{Policy: PolicyBackoff, First: DefaultBackoffFirst, Most: DefaultBackoffMost}, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxWait {
		return Redial{}, fmt.Errorf("%s: %w", s, errRedial)
	}
	if d == 0 {
		return Redial{}, nil
	}
	return Redial{Policy: PolicyAbout, First: d}, nil
}

// ParseBackoff reads the value of --backoff: the most of the first wait and the most of any, with ".." between them. Its errors read on
// from the flag.
func ParseBackoff(s string) (first, most time.Duration, err error) {
	before, after, ok := strings.Cut(s, "..")
	if !ok {
		return 0, 0, fmt.Errorf("%q: there is no .. in it; %w", s, errBackoff)
	}
	if first, err = backoffTime(s, before, 0); err != nil {
		return 0, 0, err
	}
	if most, err = backoffTime(s, after, len(before)+len("..")); err != nil {
		return 0, 0, err
	}
	if first > most {
		return 0, 0, fmt.Errorf("%q: %v at %d is less than %v; %w", s, most, len(before)+len(".."), first, errBackoff)
	}
	return first, most, nil
}

func backoffTime(whole, text string, at int) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxWait {
		return 0, fmt.Errorf("%q: %q at %d is no time of more than zero and at most %v; %w", whole, text, at, maxWait, errBackoff)
	}
	return d, nil
}

// On reports whether connections are dialed again at all.
func (r Redial) On() bool { return r.Policy != PolicyNone }

// Check refuses what ParseRedial and ParseBackoff never make, as it may come from another process.
func (r Redial) Check() error {
	ok := false
	switch r.Policy {
	case PolicyNone:
		ok = r == Redial{}
	case PolicyImmediate:
		ok = r.First == 0 && r.Most == 0
	case PolicyAbout:
		ok = r.First > 0 && r.First <= maxWait && r.Most == 0
	case PolicyBackoff:
		ok = r.First > 0 && r.First <= r.Most && r.Most <= maxWait
	}
	if !ok {
		return fmt.Errorf("flood: %+v is no way to dial again", r)
	}
	return nil
}

// wait is how long a target waits that has waited so many times since it was last open; lost says that it was open until now. draw returns
// a number from 0 to n, evenly.
func (r Redial) wait(waits uint8, lost bool, draw func(n int64) int64) time.Duration {
	about := r.First
	switch r.Policy {
	case PolicyBackoff:
		most := r.Most
		if waits < 62 && r.First<<waits>>waits == r.First {
			most = min(most, r.First<<waits)
		}
		return time.Duration(draw(int64(most)))
	case PolicyImmediate:
		if lost {
			return 0
		}
		about = failedPause
	}
	return about/2 + time.Duration(draw(int64(about)))
}
