package soak

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cometctl/internal/rlimit"
)

func TestShared(t *testing.T) {
	for _, c := range []struct {
		conns, workers int
		topology       Topology
		each           int
		serves, floods int
		nodes          int
		contains       string // the error; none if empty
	}{
		{conns: 10_000, each: 19_936, serves: 1, floods: 1, nodes: 1},
		{conns: 10_000, workers: 1, each: 19_936, serves: 1, floods: 1, nodes: 1},
		{conns: 19_936, workers: Auto, each: 19_936, serves: 1, floods: 1, nodes: 1},
		{conns: 19_937, workers: Auto, each: 19_936, serves: 2, floods: 2, nodes: 3},
		{conns: 1_000_000, workers: Auto, each: 19_936, serves: 52, floods: 52, nodes: 53},
		{conns: 1_000_000, workers: Auto, each: math.MaxInt32, serves: 1, floods: 1, nodes: 1},
		{conns: 300, workers: 2, each: 19_936, serves: 2, floods: 2, nodes: 3},
		{conns: 39_872, workers: 2, each: 19_936, serves: 2, floods: 2, nodes: 3},
		{conns: 200, topology: Topology{2, 2}, each: 19_936, serves: 1, floods: 1, nodes: 6},
		{conns: 200, workers: Auto, topology: Topology{2, 2}, each: 19_936, serves: 1, floods: 1, nodes: 6},
		{conns: 79_744, topology: Topology{2, 2}, each: 19_936, serves: 1, floods: 4, nodes: 6},

		{conns: 25_000, each: 19_936, contains: "soak: 25000 connections need 25064 file descriptors, the hard limit here is 20000; raise it (ulimit -Hn) or ask for at most 19936, or share them out: --workers 2"},
		{conns: 39_873, workers: 2, each: 19_936, contains: "too few processes: 2 workers hold 39872 connections, 19936 each, and 39873 were asked for; give --workers 3, or auto"},
		{conns: 1_000_000, workers: 10, each: 19_936, contains: "give --workers 52, or auto"},
		{conns: 79_745, topology: Topology{2, 2}, each: 19_936, contains: "the 4 fronts of 2x2 hold 79744 connections, 19936 each, and 79745 were asked for; give --topology 2x3, or --workers auto"},
		{conns: 10, each: 0, contains: "10 connections need 74 file descriptors, the hard limit here is 64"},
		{conns: 10, topology: Topology{1, 1}, each: 0, contains: "10 connections need 74 file descriptors, the hard limit here is 64"},
	} {
		got, err := Config{Conns: c.conns, Workers: c.workers, Topology: c.topology}.shared(c.each)
		if c.contains != "" {
			var short *rlimit.Shortage
			if !errors.As(err, &short) && !errors.Is(err, ErrTooFew) || !strings.Contains(err.Error(), c.contains) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if err != nil || got.Workers != c.serves || got.floods != c.floods || got.nodes() != c.nodes {
			t.Errorf("%+v: %d serve, %d flood, %d nodes, %v", c, got.Workers, got.floods, got.nodes(), err)
		}
		if asked := newManifest(got).Asked; asked.nodes() != int64(c.nodes) {
			t.Errorf("%+v: the manifest says %d nodes", c, asked.nodes())
		}
	}
}

func TestCapacity(t *testing.T) {
	for hard, want := range map[uint64]int{0: 0, 63: 0, 64: 0, 65: 1, 20_000: 19_936, rlimit.Unlimited: math.MaxInt32} {
		if got := capacity(rlimit.Files{Hard: hard}); got != want {
			t.Errorf("%d descriptors: %d connections, want %d", hard, got, want)
		}
	}
}

func TestPreflight(t *testing.T) {
	limit, err := rlimit.Read()
	if err != nil || limit.Hard > math.MaxInt32 {
		t.Skip("there is no limit to run into")
	}
	dir := filepath.Join(t.TempDir(), "soak")
	_, err = Run(t.Context(), Config{Conns: int(limit.Hard) + 1, Dir: dir, Program: "/nowhere"})
	var short *rlimit.Shortage
	if !errors.As(err, &short) || !strings.HasPrefix(err.Error(), "soak: ") {
		t.Errorf("%v, want a shortage", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder was made all the same")
	}
}
