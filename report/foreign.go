package report

import (
	"fmt"
	"strings"
)

// What is different about a server that is not our own: it keeps no ledger for us.

// keepsNoLedger reports whether nobody but generator and client has counted the messages, since the server is not our own.
func (s Summary) keepsNoLedger() bool { return s.Server != "" && s.Messages.Delivered == nil }

// foreignNote says what the counts of messages are then.
func foreignNote(server string) string {
	const most = 120
	if len(server) > most {
		server = strings.ToValidUTF8(server[:most], "") + "..."
	}
	return fmt.Sprintf("this server (%s) keeps no ledger. Sent is what the generator wrote, received what the clients got; where what is "+
		"missing was lost, only the server could tell.", server)
}

// refusals tells the answers of a foreign server that were no success: "; it answered 404 12, 503 1".
func refusals(status map[string]int64) string {
	refused := map[string]int64{}
	for code, n := range status {
		if !strings.HasPrefix(code, "2") {
			refused[code] = n
		}
	}
	if len(refused) == 0 {
		return ""
	}
	return "; it answered " + strings.Trim(causes(refused), " ()")
}
