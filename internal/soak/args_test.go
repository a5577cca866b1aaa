package soak

import (
	"strings"
	"testing"

	"cometctl/internal/pace"
)

// Any rate comes out as one that msggen reads.
func TestMsggenArgsRate(t *testing.T) {
	for rate, want := range map[float64]string{0: "unlimited", 1000: "1000/s", 0.5: "5/10s", 1.0 / 3: "333333333/277777h46m40s"} {
		args := strings.Fields(strings.Join(msggenArgs(Config{Rate: rate, Conns: 1}, plan{}, "127.0.0.1:1", nil), " "))
		for i, a := range args {
			if a != "--rate" {
				continue
			}
			if got, err := pace.Parse(args[i+1]); err != nil || got.String() != want {
				t.Errorf("rate %v: --rate %s is %v, %v; want %s", rate, args[i+1], got, err, want)
			}
		}
	}
}
