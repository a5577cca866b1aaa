// Package loglimit keeps a log readable when the same thing happens very often: a Handler for log/slog that lets a few messages of each kind
// through, and then says every ten seconds how many more there were.
//
// A kind is a level and a message text without its digits: what varies belongs into attributes, and where it does not stand there (net/http's log,
// NATS's) it is mostly numbers. The first Burst messages of a kind pass as they are. What comes beyond
// that in the same window is counted, and at its end one line says so: "accept failed: 120 more like this in 10s". While it goes on like that, one message
// of each further window passes, and one line sums up; after a window with no more than that the kind has its burst again.
// Messages below Info pass always: who asks for them wants them all.
//
// A Handler and all that were derived from it (WithAttrs, WithGroup) count together, under one lock. Any goroutine may call them. A window
// that has something to say ends by a timer, on its own goroutine; Close says it early.
package loglimit

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Window is the time that is summed up in one line, and Burst how many messages of a kind pass before.
const (
	Window = 10 * time.Second
	Burst  = 10
)

// maxKinds is how many kinds are told apart, so that messages with something varying in them cannot fill the memory. What
// comes beyond is one kind for each level.
const maxKinds = 500

// Handler is a slog.Handler that limits. Make it with New.
type Handler struct {
	to slog.Handler
	*limits
}

// limits is what the handlers derived from one have in common.
type limits struct {
	mu     sync.Mutex
	kinds  map[kind]*count
	closed bool
}

type kind struct {
	level slog.Level
	text  string // of the message, without digits; empty for all beyond maxKinds
}

// count is what a kind did in its window.
type count struct {
	kind
	first  string       // of its messages
	end    time.Time    // of the window
	room   int          // messages that may still pass in it
	held   int          // that did not
	to     slog.Handler // of the last of them
	ending *time.Timer  // calls sum at the end; nil: nothing was held
}

// New makes a Handler that hands on to to.
func New(to slog.Handler) *Handler {
	return &Handler{to, &limits{kinds: map[kind]*count{}}}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.to.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{h.to.WithAttrs(attrs), h.limits}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.to.WithGroup(name), h.limits}
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && !h.pass(r.Level, r.Message, h.to) {
		return nil
	}
	return h.to.Handle(ctx, r)
}

// digitless is text without its digits.
func digitless(text string) string {
	if !strings.ContainsAny(text, "0123456789") {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}

// pass tells whether a message may pass, and counts it if not.
func (l *limits) pass(level slog.Level, text string, to slog.Handler) bool {
	k := kind{level, digitless(text)}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.kinds[k]
	if c == nil {
		if len(l.kinds) >= maxKinds {
			k.text = ""
		}
		if c = l.kinds[k]; c == nil {
			if c = (&count{kind: k, first: text}); k.text == "" {
				c.first = "other messages"
			}
			l.kinds[k] = c
		}
	}
	now := time.Now()
	if c.ending == nil && !now.Before(c.end) {
		c.end, c.room = now.Add(Window), Burst
	}
	if c.room > 0 || l.closed {
		c.room--
		return true
	}
	c.held++
	c.to = to
	if c.ending == nil {
		c.ending = time.AfterFunc(c.end.Sub(now), func() { l.sum(c) })
	}
	return false
}

// sum is the end of a window in which something was held.
func (l *limits) sum(c *count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.ending == nil {
		return // Close was first
	}
	c.tell()
	c.end, c.room = time.Now().Add(Window), 1
}

// tell says how many were held.
func (c *count) tell() {
	c.ending.Stop()
	r := slog.NewRecord(time.Now(), c.level, c.first+": more like this", 0)
	r.AddAttrs(slog.Int("more", c.held), slog.String("in", Window.String()))
	_ = c.to.Handle(context.Background(), r) // a log that cannot be written is told to nobody
	c.held, c.to, c.ending = 0, nil, nil
}

// Close says what was held and is not told yet. From then on everything passes.
func (h *Handler) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, c := range h.kinds {
		if c.ending != nil {
			c.tell()
		}
	}
}
