//go:build !linux

package strain

import (
	"runtime"
	"time"
)

// take reads what there is: the process's time, and what the runtime has from the system, which is not all of it.
func take() sample {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return sample{at: time.Now(), cpu: processTime(), rss: int64(m.Sys - m.HeapReleased)}
}
