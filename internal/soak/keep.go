package soak

// What a run of another kind keeps like a soak.

// CreateFolder makes the folder of a run, or takes one that is empty; otherwise it fails with ErrNotEmpty.
func CreateFolder(path string) error {
	_, err := createFolder(path)
	return err
}

// WriteJSON writes v into a file of the folder dir, as a whole: whoever reads it finds the old one or the new one.
func WriteJSON(dir, name string, v any) error { return folder(dir).writeJSON(name, v) }

// MemoryLog is the name of the memory log in a run's folder.
const MemoryLog = logFile

// Draw draws the memory log of the folder dir, with connections below it, into the folder.
func Draw(dir, title string) error { return folder(dir).picture(title) }
