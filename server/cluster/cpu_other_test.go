//go:build !unix

package cluster

import "time"

func processorTime() time.Duration { return 0 }
