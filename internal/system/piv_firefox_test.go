package system_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cardoki/cardoki/internal/system"
)

// firefoxPreferences let Firefox choose a certificate by itself, and ask nobody else for
// anything.
const firefoxPreferences = `
user_pref("marionette.port", 0);
user_pref("security.default_personal_cert", "Select Automatically");
user_pref("security.osclientcerts.autoload", false);
user_pref("security.dialog_enable_delay", 0);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "http://127.0.0.1:9/");
user_pref("extensions.systemAddon.update.enabled", false);
user_pref("network.proxy.type", 0);
`

// useFirefox opens a page that wants a certificate with a real Firefox, without a screen:
// somebody types the PIN into its dialog, and the card signs.
func useFirefox(t *testing.T, h *holder) {
	firefox := system.Need(t, "firefox-esr", "firefox-esr")
	dir := h.profile(t)
	if err := os.WriteFile(filepath.Join(dir, "user.js"), []byte(firefoxPreferences), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(h.env, "MOZ_HEADLESS=1", "MOZ_DISABLE_AUTO_SAFE_MODE=1", "XDG_RUNTIME_DIR="+h.dir)
	p := start(t, env, firefox, "--headless", "--no-remote", "-marionette", "-remote-allow-system-access", "-profile", dir)
	m, err := dialMarionette(filepath.Join(dir, "MarionetteActivePort"))
	if err != nil {
		t.Fatalf("%v\n%s", err, p)
	}
	t.Cleanup(func() { m.conn.Close() })
	var result struct{ Value any }
	do := func(name string, parameters map[string]any) {
		t.Helper()
		if err := m.do(name, parameters, &result); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	do("WebDriver:NewSession", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"unhandledPromptBehavior": "ignore"}}})
	do("Marionette:SetContext", map[string]any{"value": "chrome"})
	// A dialog that is open while a command comes is dismissed, so the login waits until
	// this one is over, and tells by a file when it is done itself.
	done := filepath.Join(dir, "logged-in")
	do("WebDriver:ExecuteScript", map[string]any{
		"script": "return (async function () {" + typePIN + "}).apply(null, arguments)", "args": []any{"card holder", factoryPIN, done},
		"newSandbox": true, "sandbox": "system",
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if b, err := os.ReadFile(done); err == nil && len(b) > 0 {
			if string(b) != "true" {
				t.Fatalf("login with the PIN: %s", b)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("Firefox does not ask for the PIN")
		}
	}
	do("Marionette:SetContext", map[string]any{"value": "content"})
	do("WebDriver:Navigate", map[string]any{"url": "https://localhost:" + h.serveHTTPS(t) + "/"})
	do("WebDriver:ExecuteScript", map[string]any{"script": "return document.body.innerText", "args": []any{}})
	if page := fmt.Sprint(result.Value); !strings.Contains(page, "Hello, card holder") {
		t.Errorf("Firefox shows %q", page)
	}
	do("Marionette:Quit", map[string]any{"flags": []string{"eForceQuit"}})
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Error("Firefox does not quit")
	}
}

// typePIN makes Firefox log in to a token, and fills in the dialog that asks for the PIN.
const typePIN = `
const [name, pin, done] = arguments;
const {setTimeout} = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
Services.obs.addObserver(window => setTimeout(() => {
	const ui = window.Dialog && window.Dialog.ui;
	if (!ui || !ui.password1Textbox) return;
	ui.password1Textbox.value = pin;
	ui.button0.disabled = false;
	ui.button0.click();
}, 30), "common-dialog-loaded");
let token = null;
for (const module of await Cc["@mozilla.org/security/pkcs11moduledb;1"].getService(Ci.nsIPKCS11ModuleDB).listModules())
	for (const slot of module.slots || module.listSlots())
		try { if (slot.getToken().tokenName == name) token = slot.getToken(); } catch (e) {} // an empty reader
setTimeout(() => {
	let result;
	try { token.login(); result = token.isLoggedIn; } catch (e) { result = e; }
	IOUtils.writeUTF8(done, String(result), {tmpPath: done + ".new"});
}, 200);
`

// A marionette is Firefox's own remote control: frames of a decimal length, a colon and
// JSON.
type marionette struct {
	conn net.Conn
	r    *bufio.Reader
	id   int
}

// dialMarionette connects to the port that Firefox writes into a file.
func dialMarionette(portFile string) (*marionette, error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		port, err := os.ReadFile(portFile)
		if err != nil || len(port) == 0 {
			continue
		}
		conn, err := net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(string(port)))
		if err != nil {
			continue
		}
		m := &marionette{conn: conn, r: bufio.NewReader(conn)}
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return nil, err
		}
		_, err = m.read() // it introduces itself
		return m, err
	}
	return nil, errors.New("Firefox can't be controlled: no port")
}

func (m *marionette) read() ([]byte, error) {
	head, err := m.r.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(head, ":"))
	if err != nil || n < 0 || n > 1<<24 {
		return nil, fmt.Errorf("frame of length %q", head)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(m.r, b)
	return b, err
}

// do sends a command and reads its result.
func (m *marionette) do(name string, parameters map[string]any, result any) error {
	m.id++
	b, err := json.Marshal([]any{0, m.id, name, parameters})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(b), b); err != nil {
		return err
	}
	if b, err = m.read(); err != nil {
		return err
	}
	var answer [4]json.RawMessage // 1, id, error, result
	if err := json.Unmarshal(b, &answer); err != nil {
		return err
	}
	if string(answer[2]) != "null" {
		return fmt.Errorf("%.500s", answer[2])
	}
	return json.Unmarshal(answer[3], result)
}
