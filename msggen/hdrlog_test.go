package msggen

import (
	"bytes"
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The log has each message's lag in the interval in which it was written.
func TestHDRLog(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		var log bytes.Buffer
		dial := cfg.Dial
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			return slowConn{c}, err
		}
		cfg.Rate, cfg.Duration, cfg.HDR, cfg.HDREvery = perSecond(700), 3*time.Second, &log, 600*time.Millisecond
		res, err := Run(t.Context(), cfg)
		if err != nil || res.Sent != 2100 {
			t.Fatalf("%+v, %v", res, err)
		}
		total := int64(0)
		for r := hdrhistogram.NewHistogramLogReader(&log); ; {
			h, err := r.NextIntervalHistogram()
			if err != nil {
				t.Fatal(err)
			}
			if h == nil {
				break
			}
			if n := h.TotalCount(); h.Tag() != "lag" || n > 421 || h.EndTimeMs()-h.StartTimeMs() > 600 || h.Min() < 490_000 || h.Max() > 510_000 {
				t.Errorf("%s from %d to %d: %d values, up to %d ns", h.Tag(), h.StartTimeMs(), h.EndTimeMs(), n, h.Max())
			}
			total += h.TotalCount()
		}
		if total != 2100 || res.Lag.P50 != 0.5 { // as long as each write takes
			t.Errorf("%d values, want 2100; lag of the result %+v", total, res.Lag)
		}
	})
}

// slowConn takes half a millisecond for a write.
type slowConn struct{ net.Conn }

func (c slowConn) Write(b []byte) (int, error) {
	time.Sleep(500 * time.Microsecond)
	return c.Conn.Write(b)
}

// A log that fails costs the run nothing.
func TestHDRLogFails(t *testing.T) {
	for _, head := range []int{0, 1} { // writes that succeed
		bubble(t, func(t *testing.T, f *fake) {
			cfg := f.config()
			w := &failing{left: head}
			cfg.Rate, cfg.Duration, cfg.HDR, cfg.HDREvery = perSecond(100), 3*time.Second, w, time.Second
			res, err := Run(t.Context(), cfg)
			if err != nil || res.Accepted != 300 || w.left != -1 {
				t.Errorf("after %d writes: %+v, %v, %d", head, res, err, w.left)
			}
		})
	}
}

// failing is a writer whose first writes succeed.
type failing struct{ left int }

func (w *failing) Write(b []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, os.ErrClosed
	}
	return len(b), nil
}
