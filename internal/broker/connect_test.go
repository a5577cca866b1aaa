package broker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
)

func TestCredentials(t *testing.T) {
	e := brokertest.Embed(t, broker.EmbedConfig{User: "anna", Password: "secret"})
	for _, to := range []broker.ConnectConfig{{}, {User: "anna", Password: "wrong"}, {User: "joe", Password: "secret"}} {
		to.URLs = []string{e.URL()}
		if nc, err := broker.Connect(to); !errors.Is(err, broker.ErrCredentials) {
			t.Errorf("as %q with %q: %v, %v", to.User, to.Password, nc, err)
		}
	}
	nc, err := broker.Connect(broker.ConnectConfig{URLs: []string{e.URL()}, User: "anna", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	// Who could not reach NATS at first hears of wrong credentials later.
	address := brokertest.FreeAddress(t)
	nc, err = broker.Connect(broker.ConnectConfig{URLs: []string{"nats://" + address}, User: "anna", Password: "wrong", Retry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	brokertest.Embed(t, broker.EmbedConfig{Listen: address, User: "anna", Password: "secret"})
	brokertest.Until(t, "NATS refuses", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		return errors.Is(broker.Await(ctx, nc, nil), broker.ErrCredentials)
	})
}

func TestBadConnectConfig(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.creds")
	for _, c := range []struct {
		cfg  broker.ConnectConfig
		says string
	}{
		{broker.ConnectConfig{}, "nats://"},
		{broker.ConnectConfig{URLs: []string{"nats://127.0.0.1:1"}, Creds: missing}, missing},
		{broker.ConnectConfig{URLs: []string{"nats://[::1"}}, "not a URL"},
	} {
		if _, err := broker.Connect(c.cfg); !errors.Is(err, broker.ErrConfig) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

// TestOrder holds that servers are tried in the order in which they are named.
func TestOrder(t *testing.T) {
	all := brokertest.Routed(t, 3)
	for i := range 9 { // at random, they would all begin with their first once in 20,000 times
		urls := []string{all[i%3].URL(), all[(i+1)%3].URL(), all[(i+2)%3].URL()}
		nc, err := broker.Connect(broker.ConnectConfig{URLs: urls})
		if err != nil {
			t.Fatal(err)
		}
		if got := nc.ConnectedUrl(); got != urls[0] {
			t.Errorf("of %v, connected to %s", urls, got)
		}
		nc.Close()
	}
	nc, err := broker.Connect(broker.ConnectConfig{URLs: []string{"nats://" + brokertest.FreeAddress(t), all[2].URL()}})
	if err != nil || nc.ConnectedUrl() != all[2].URL() {
		t.Errorf("the second of two: %v", err)
	}
	nc.Close()
}

// A server on a busy machine that hears too late who we are is asked again: that is no wrong configuration.
func TestToldTooLate(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	asked := make(chan bool, 100)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "INFO {\"server_id\":\"x\",\"proto\":1,\"headers\":true,\"auth_required\":true,\"max_payload\":1048576}\r\n")
			for in := bufio.NewScanner(c); in.Scan() && in.Text() != "PING"; {
			}
			fmt.Fprintf(c, "-ERR 'Authentication Timeout'\r\n")
			c.Close()
			asked <- true
		}
	}()
	nc, err := broker.Connect(broker.ConnectConfig{URLs: []string{"nats://" + ln.Addr().String()}, User: "anna", Password: "secret", Retry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for range 3 {
		<-asked
	}
}
