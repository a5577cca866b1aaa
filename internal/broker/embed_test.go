package broker_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
)

func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := ln.Addr().String()
	for _, cfg := range []broker.EmbedConfig{
		{Listen: taken},
		{Listen: "127.0.0.1:0", Cluster: "test", RouteOn: taken},
	} {
		e, err := broker.Embed(cfg)
		if !errors.Is(err, broker.ErrEmbed) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%+v: %v, %v", cfg, e, err)
		}
	}
}

func TestBadEmbedConfig(t *testing.T) {
	for _, cfg := range []broker.EmbedConfig{
		{Listen: "4222"}, {Listen: "127.0.0.1:nats"}, {Listen: "127.0.0.1:65536"},
		{Routes: []string{"nats://127.0.0.1:6222"}}, {RouteOn: "127.0.0.1:0"},
		{Cluster: "c", RouteOn: "here"}, {Cluster: "c", Routes: []string{"b"}}, {Cluster: "c", Routes: []string{"nats://b"}},
		{Cluster: "a b"}, {Name: "a b"},
		{User: "anna"}, {Password: "secret"},
		{MaxPayload: -1}, {MaxPayload: 65 << 20}, {MaxPending: 1}, {WriteDeadline: -1},
	} {
		if cfg.Listen == "" {
			cfg.Listen = "127.0.0.1:0"
		}
		if e, err := broker.Embed(cfg); !errors.Is(err, broker.ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
			if err == nil {
				e.Close()
			}
		}
	}
}

// TestNoRoute starts servers that must refuse each other, and reads why.
func TestNoRoute(t *testing.T) {
	a := brokertest.Embed(t, broker.EmbedConfig{Cluster: "test", Name: "a", User: "anna", Password: "secret"})
	routes := []string{a.RouteURL()}
	for _, c := range []struct {
		cfg  broker.EmbedConfig
		says string // this server,
		told string // and the other one
	}{
		{broker.EmbedConfig{Cluster: "other", Name: "b", User: "anna", Password: "secret"}, "cluster name", ""},
		{broker.EmbedConfig{Cluster: "test", Name: "a", User: "anna", Password: "secret"}, "closed", "duplicate name"},
		{broker.EmbedConfig{Cluster: "test", Name: "b", User: "anna", Password: "wrong"}, "uthorization", ""},
	} {
		c.cfg.Routes = routes
		b := brokertest.Embed(t, c.cfg)
		refused(t, b, c.says)
		refused(t, a, c.told)
		b.Close()
	}
}

// refused waits until e complains of what keeps it alone.
func refused(t *testing.T, e *broker.Embedded, says string) {
	t.Helper()
	var err error
	brokertest.Until(t, "no route, because of "+says, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		err = e.Routed(ctx, 1)
		return err == nil || strings.Contains(err.Error(), says)
	})
	if !errors.Is(err, broker.ErrEmbed) || !errors.Is(err, context.DeadlineExceeded) || e.Servers() != 0 {
		t.Errorf("%v", err)
	}
}

// TestEmbedAlone has no cluster, and ends twice.
func TestEmbedAlone(t *testing.T) {
	log := &brokertest.Journal{}
	e := brokertest.Embed(t, broker.EmbedConfig{Log: log.Logger()})
	if e.RouteURL() != "" || e.Servers() != 0 || e.Routed(context.Background(), 0) != nil || e.SlowConsumers() != 0 {
		t.Errorf("route %q, %d servers", e.RouteURL(), e.Servers())
	}
	address := strings.TrimPrefix(e.URL(), "nats://")
	e.Close()
	e.Close()
	brokertest.Embed(t, broker.EmbedConfig{Listen: address})
	if said := log.String(); !strings.Contains(said, "Listening for client connections on "+address) {
		t.Errorf("log: %q", said)
	}
}
