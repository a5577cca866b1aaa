package history

import (
	"strings"
	"testing"
	"time"
)

func FuzzStore(f *testing.F) {
	f.Add([]byte{3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) < 2 || len(script) > 1000 {
			return
		}
		w := newWorld(t, Config{Messages: int(script[0] % 16), Bytes: 256 + int(script[1])*8, TTL: 10 * time.Second}, script[0]%32 >= 16)
		for b := script[2:]; len(b) >= 3; b = b[3:] {
			id := modelIDs[b[0]%8]
			switch b[0] / 8 % 7 {
			case 0, 1:
				w.publish(id, strings.Repeat("m", int(b[1])<<(b[2]%3)))
			case 2:
				var since uint64
				if r := w.ids[id]; r != nil {
					since = r.last + 2 - uint64(b[1]%16)
				}
				w.resume(id, since, b[2] > 30, true)
			case 3:
				w.held[id] = false
			case 4:
				w.now += time.Duration(b[1]) * 50 * time.Millisecond
			case 5:
				w.sweep(true)
			case 6:
				w.missed()
			}
		}
		w.check(true)
	})
}

func FuzzCut(f *testing.F) {
	f.Add(uint64(5), []byte("12"), []byte("text"))
	f.Fuzz(func(t *testing.T, n uint64, id, msg []byte) {
		id = id[:min(len(id), 128)]
		gotN, gotID, got := Cut(Append([]byte("x"), n, id, msg)[1:])
		if gotN != n || string(gotID) != string(id) || string(got) != string(msg) {
			t.Fatalf("%d %q %q came out as %d %q %q", n, id, msg, gotN, gotID, got)
		}
	})
}
