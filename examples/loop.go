// The loop of README, "What a client must do", in Go, with nothing but its library.
//
//	ROLLCALL_URL=http://127.0.0.1:3000 ROLLCALL_TOKEN=... go run examples/loop.go game kr-1 7777
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var client = http.Client{Timeout: 5 * time.Second} // what was sent may have happened: it is sent again with the same ids

type answer struct {
	NextHeartbeatMs     int    `json:"nextHeartbeatMs"`
	HeartbeatIntervalMs int    `json:"heartbeatIntervalMs"`
	Detail              string `json:"detail"`
}

// Status (0 when nobody answered), what was said, and how long it asks to wait.
func call(method, path string, body any) (status int, said answer, after time.Duration) {
	text, _ := json.Marshal(body)
	request, err := http.NewRequest(method, strings.TrimRight(os.Getenv("ROLLCALL_URL"), "/")+"/sd/v1"+path, bytes.NewReader(text))
	if err != nil {
		return
	}
	request.Header.Set("X-API-Token", os.Getenv("ROLLCALL_TOKEN"))
	request.Header.Set("Content-Type", "application/json")
	reply, err := client.Do(request)
	if err != nil {
		return
	}
	defer reply.Body.Close()
	text, _ = io.ReadAll(io.LimitReader(reply.Body, 1<<20))
	_ = json.Unmarshal(text, &said) // a balancer's page is no JSON
	seconds, _ := strconv.Atoi(reply.Header.Get("Retry-After"))
	return reply.StatusCode, said, time.Duration(seconds) * time.Second
}

func newID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	return hex.EncodeToString(id)
}

func main() {
	id, incarnation := os.Getenv("INSTANCE_ID"), newID()
	if id == "" {
		id = newID()
	}
	host, _ := os.Hostname()
	port, _ := strconv.Atoi(os.Args[3])
	me := map[string]any{"instanceId": id, "incarnation": incarnation, "type": os.Args[1], "group": os.Args[2], "hostname": host, "ports": []int{port}}
	stop, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)

	registered, wait := false, time.Duration(0)
	for stop.Err() == nil {
		var status int
		var said answer
		var after time.Duration
		if registered {
			status, said, after = call("POST", "/instances/"+id+"/heartbeat", map[string]string{"incarnation": incarnation})
		} else {
			status, said, after = call("POST", "/instances", me)
		}
		switch {
		case status == 200 || status == 201:
			if !registered {
				fmt.Println("registered", id)
			}
			registered, wait = true, time.Duration(said.NextHeartbeatMs+said.HeartbeatIntervalMs)*time.Millisecond
		case status == 404 && registered: // swept or removed
			registered, wait = false, 0
		case status == 409: // another process has the id now
			fmt.Println("superseded:", said.Detail)
			return
		case status == 0 || status == 429 || status >= 500: // not now
			wait = max(after, time.Second)
		default: // wrong, or not allowed: somebody can mend that while we run
			fmt.Println("refused:", status, said.Detail)
			wait = 30 * time.Second
		}
		select {
		case <-stop.Done():
		case <-time.After(wait):
		}
	}
	if registered {
		call("DELETE", "/instances/"+id+"?incarnation="+incarnation, nil)
		fmt.Println("left")
	}
}

func max(a, b time.Duration) time.Duration {
	if a > b {
		return a
	}
	return b
}
