package router_test

import (
	"testing"

	"cometctl/server/router"
	"cometctl/server/router/routertest"
)

func TestLocal(t *testing.T) {
	routertest.Run(t, 30_000, func(t *testing.T, deliver router.Deliver) router.Router {
		r := router.NewLocal(deliver)
		t.Cleanup(func() { router.Check(t, r) })
		return r
	})
}
