package chaos

import (
	"errors"
	"os"
)

func terminate(*os.Process) error { return errors.ErrUnsupported }
func halt(*os.Process) error      { return errors.ErrUnsupported }
func resume(*os.Process) error    { return errors.ErrUnsupported }
