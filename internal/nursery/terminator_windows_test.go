package nursery

import "os"

// terminator is what Terminate sends.
var terminator = os.Interrupt
