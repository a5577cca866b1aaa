package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestLiveIsPlainLinesWithoutATerminal(t *testing.T) {
	now := time.Unix(1000, 0)
	var b bytes.Buffer
	l := newLive(&b, 10*time.Second, func() time.Time { return now })
	if l.terminal() {
		t.Fatal("a buffer is taken for a terminal")
	}
	for i, text := range []string{"a", "b", "c", "d"} {
		now = time.Unix(1000+int64(i)*6, 0) // 0, 6, 12, 18 s: the second and the fourth are too early
		l.update("ramp", text)
	}
	l.update("hold", "e")
	l.println("Stats: {1,2,3}")
	l.done()
	if want := "ramp: a\nramp: c\nhold: e\nStats: {1,2,3}\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestLiveIsRewrittenOnATerminal(t *testing.T) {
	var b bytes.Buffer
	l := newLive(&b, time.Hour, time.Now)
	l.width = func() int { return 14 }
	l.color = false
	l.update("ramp", "12 of 34 connections")
	l.update("ramp", "13\r\n14")
	l.println("Stats: {1,2,3}")
	l.done()
	l.done()
	want := "\rramp: 12 of 3\x1b[K" + // 13 columns: the last one stays free
		"\rramp: 13  14\x1b[K" +
		"\r\x1b[KStats: {1,2,3}\nramp: 13  14" +
		"\r\x1b[K"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

func TestLiveWidthAndColor(t *testing.T) {
	for width := range 20 {
		for _, color := range []bool{true, false} {
			var b bytes.Buffer
			l := &live{w: &b, now: time.Now, color: color, width: func() int { return width }}
			l.update("idle", "größer, 10000")
			text := strings.NewReplacer("\x1b[1m", "", "\x1b[0m", "", "\x1b[K", "", "\r", "").Replace(b.String())
			if n := len([]rune(text)); n > max(width-1, 0) {
				t.Errorf("width %d: %d columns are written: %q", width, n, text)
			}
			if strings.Contains(text, "\x1b") || (!color && strings.Contains(b.String(), "\x1b[1m")) {
				t.Errorf("width %d, color %v: %q", width, color, b.String())
			}
		}
	}
}
