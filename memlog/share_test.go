package memlog

import (
	"testing"
	"time"
)

func TestShare(t *testing.T) {
	start := time.Now()
	tests := []struct {
		name  string
		took  time.Duration // by the work that ended at start
		after time.Duration
		due   bool
	}{
		{"at once after what cost nothing", 0, 0, true},
		{"20,000 connections, a row a second", 17 * time.Millisecond, 983 * time.Millisecond, true},
		{"20,000 connections, four rows a second", 17 * time.Millisecond, 233 * time.Millisecond, false},
		{"a million, the next row", time.Second, time.Second, false},
		{"a million, a moment too early", time.Second, 30*time.Second - 1, false},
		{"a million, in time", time.Second, 30 * time.Second, true},
		{"a million, a row a minute", time.Second, 59 * time.Second, true},
	}
	for _, tt := range tests {
		var s share
		if !s.due(start) {
			t.Fatalf("%s: the first work is not due", tt.name)
		}
		s.spent(start, tt.took)
		if due := s.due(start.Add(tt.after)); due != tt.due {
			t.Errorf("%s: due is %t %v after work of %v", tt.name, due, tt.after, tt.took)
		}
	}
}
