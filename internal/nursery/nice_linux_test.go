package nursery

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// nice is the niceness that a child of n finds.
func nice(t *testing.T, n *Nursery) int {
	t.Helper()
	c := exec.Command("nice")
	var out strings.Builder
	c.Stdout = &out
	if err := n.Start(c); err != nil {
		t.Fatal(err)
	}
	if err := n.Wait(c); err != nil {
		t.Fatal(err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNice(t *testing.T) {
	if _, err := exec.LookPath("nice"); err != nil {
		t.Skip(err)
	}
	own := New()
	defer own.Close()
	before := nice(t, own)
	first := New()
	defer first.Close()
	first.Precede()
	if got := nice(t, first); got != -precedence && got != before { // the latter where we may not
		t.Errorf("preceding children have niceness %d, others %d", got, before)
	}
	first.Follow()
	if got := nice(t, first); got != max(before, 0) && before >= 0 {
		t.Errorf("following children have niceness %d, others %d", got, before)
	}
	if got := nice(t, own); got != before {
		t.Errorf("other children have niceness %d now, %d before", got, before)
	}
}
