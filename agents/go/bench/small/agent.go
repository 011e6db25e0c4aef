//go:build flyball

package main

import _ "flyball.dev/agent"
