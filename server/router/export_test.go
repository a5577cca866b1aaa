package router

// Check is for tests outside the package: it walks everything that a Local holds.
var Check = check
