package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/internal/subject"
)

// asked is what all other nodes answer, sorted.
func asked(t *testing.T, r *node, question string) (all []string, err error) {
	t.Helper()
	err = r.AskAll(brokertest.Within(t), []byte(question), func(answer []byte) { all = append(all, string(answer)) })
	slices.Sort(all)
	return all, err
}

func TestAskAll(t *testing.T) {
	on := brokertest.Routed(t, 2)
	as := func(name string) Config {
		return Config{Name: name, Answers: time.Second, Asked: func(q []byte) []byte {
			if string(q) == "silence" {
				return nil
			}
			return []byte(name + " hears " + string(q))
		}}
	}
	a := join(t, on[0].URL(), as("a"))
	if all, err := asked(t, a, "alone"); err != nil || len(all) != 0 {
		t.Errorf("alone: %q, %v", all, err)
	}
	b, c := join(t, on[0].URL(), as("b")), join(t, on[1].URL(), as("c"))
	mute := join(t, on[1].URL(), Config{Name: "mute"})
	settle(t, a.Router, b.Router, c.Router, mute.Router)
	if all, err := asked(t, a, "x"); err != nil || !slices.Equal(all, []string{"b hears x", "c hears x"}) {
		t.Errorf("%q, %v", all, err)
	}
	if all, err := asked(t, mute, "\x00 \n"); err != nil || !slices.Equal(all, []string{"a hears \x00 \n", "b hears \x00 \n", "c hears \x00 \n"}) {
		t.Errorf("%q, %v", all, err)
	}
	// Somebody who speaks NATS and is no node.
	s := stranger(t, on[1])
	inbox, err := s.SubscribeSync("inbox")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PublishRequest(subject.Ask, "inbox", []byte("y")); err != nil {
		t.Fatal(err)
	}
	var all []string
	for range 3 {
		m, err := inbox.NextMsg(brokertest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(m.Data))
	}
	if slices.Sort(all); !slices.Equal(all, []string{"a hears y", "b hears y", "c hears y"}) {
		t.Errorf("a stranger was told %q", all)
	}
	a.Close()
	if all, err := asked(t, a, "x"); !errors.Is(err, ErrDisconnected) || len(all) != 0 {
		t.Errorf("closed: %q, %v", all, err)
	}
}

// Nodes that are there and say nothing.
func TestAskAllInVain(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{})
	a := join(t, e.URL(), Config{Confirm: 30 * time.Millisecond})
	b := join(t, e.URL(), Config{})
	settle(t, b.Router)
	if all, err := asked(t, a, "x"); !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, context.DeadlineExceeded) || len(all) != 0 {
		t.Errorf("%q, %v", all, err)
	}
	// What is no answer of anybody who was asked.
	s := stranger(t, e)
	if err := s.Publish(strings.TrimSuffix(a.prefix, ".")+".a.77", []byte("unasked")); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	brokertest.Until(t, "it was seen to be none", func() bool { return a.Stats().Strays == 1 })
}
