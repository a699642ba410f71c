"""A scripted browser: signs the user in and decides on a consent page, or takes consents back.

    browser.py allow|deny URL USER PASSWORD
    browser.py take-back URL USER PASSWORD TOOL CLIENT    of this tool through this client; URL is any page of the server

Plain HTML forms over loopback, nothing else. It sends what a browser sends (cookies shared by all
ports of a host, `Origin`, `Sec-Fetch-*`), because the pages rely on those for their protection.
Every run is a new browser with no cookies. Prints the last page as text; status 0 if it was a 200.
"""

import html.parser
import http.cookiejar
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

# Everything that this script knows about the pages. Change names here, nowhere else.
USER_TYPES = ("text", "email")  # the sign-in form is known by its field types, not by names
PASSWORD_TYPE = "password"
DECISION_FIELDS = "decision-"  # one radio group or check box for each capability
SUBMIT_BUTTON = "decide"
CONSENTS = "/consents"
TAKE_BACK = "/revoke"  # how the form of one consent ends; its button has a label that ends with the client
# The first value that a group offers is taken. "Once" comes first so that a test leaves no
# consent behind that would answer the next one.
ALLOW = os.environ.get("BROWSER_ALLOW", "allow-once allow-until allow").split()
DENY = ["deny"]

STEPS_MAX = 32  # redirects and forms of one visit; more is a loop
PAGE_BYTES_MAX = 1024 * 1024
TIMEOUT_S = 20


class Page(html.parser.HTMLParser):
    """The forms of a page, and its text."""

    def __init__(self, url, status, body):
        super().__init__()
        self.url, self.status, self.forms, self.words = url, status, [], []
        self.silent, self.heading = False, None
        self.feed(body)

    def handle_starttag(self, tag, attrs):
        field = dict(attrs)
        self.silent = tag in ("style", "script", "title")
        if tag == "h2":
            self.heading = ""
        elif tag == "form":
            self.forms.append({"attrs": field, "fields": [], "heading": self.heading})
        elif tag in ("input", "button", "select", "textarea") and self.forms:
            default = {"input": "text", "button": "submit"}.get(tag, tag)
            self.forms[-1]["fields"].append({**field, "type": (field.get("type") or default).lower()})

    def handle_data(self, data):
        if not self.silent and data.strip():
            self.words.append(" ".join(data.split()))
            self.heading = self.heading or data.strip()  # the first words below it

    def handle_endtag(self, tag):
        self.silent = False

    def form_with(self, wanted):
        """The first form that has a field for which `wanted` holds."""
        return next((f for f in self.forms if any(wanted(x) for x in f["fields"])), None)


class LoopbackIsSafe(http.cookiejar.DefaultCookiePolicy):
    """Browsers send `Secure` cookies to loopback over plain http as well."""

    def set_ok_secure(self, cookie, request):
        return True

    def return_ok_secure(self, cookie, request):
        return True


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Each hop is looked at (loopback? which site?) before it is taken."""

    def redirect_request(self, *_):
        return None


class Browser:
    def __init__(self):
        jar = http.cookiejar.CookieJar(LoopbackIsSafe())
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), NoRedirect, urllib.request.HTTPCookieProcessor(jar)
        )
        self.steps = 0

    def visit(self, url, data=None, initiator=None):
        """Opens a URL as a navigation; `initiator` is the origin of the page whose form did it."""
        site = "none" if initiator is None else "same-origin"
        while True:
            self.steps += 1
            check(self.steps <= STEPS_MAX, f"more than {STEPS_MAX} steps, last at {url}")
            host = urllib.parse.urlsplit(url).hostname
            check(host in ("127.0.0.1", "localhost", "::1"), f"not a loopback address: {url}")
            if initiator and origin(url) != initiator and site != "cross-site":
                same = host == urllib.parse.urlsplit(initiator).hostname
                site = "same-site" if same else "cross-site"
            headers = {
                "Accept": "text/html,application/xhtml+xml",
                "Sec-Fetch-Site": site,
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
                "Sec-Fetch-User": "?1",
            }
            if data is not None:
                headers["Origin"] = initiator
            request = urllib.request.Request(url, data=data, headers=headers)
            try:
                reply = self.opener.open(request, timeout=TIMEOUT_S)
            except urllib.error.HTTPError as error:
                reply = error
            with reply:
                body = reply.read(PAGE_BYTES_MAX).decode("utf-8", "replace")
                place = reply.headers.get("Location")
                if reply.status not in (301, 302, 303) or not place:
                    return Page(url, reply.status, body)
            url, data = urllib.parse.urljoin(url, place), None

    def submit(self, page, form, choose):
        """Sends a form; `choose` gives a field's value, or None for what the page has set."""
        pairs, buttons, groups = [], [], {}
        for field in form["fields"]:
            name, kind = field.get("name"), field["type"]
            if not name or "disabled" in field:
                continue
            if kind in ("submit", "image"):
                buttons.append(field)
            elif kind in ("radio", "checkbox"):
                groups.setdefault((kind, name), []).append(field)
            elif kind not in ("button", "reset"):
                value = choose(field, [field.get("value") or ""])
                pairs.append((name, value if value is not None else field.get("value") or ""))
        for (kind, name), boxes in groups.items():
            value = choose(boxes[0], [b.get("value") or "on" for b in boxes])
            checked = [b.get("value") or "on" for b in boxes if "checked" in b]
            values = [value] if value is not None else checked
            pairs += [(name, v) for v in values if v]
        if buttons:  # the one that says the choice, else the one with the known name, else the first
            value = choose(buttons[0], [b.get("value") or "" for b in buttons])
            fit = [b for b in buttons if value is not None and (b.get("value") or "") == value]
            fit += [b for b in buttons if b["name"] == SUBMIT_BUTTON] + buttons
            pairs.append((fit[0]["name"], fit[0].get("value") or ""))
        action = urllib.parse.urljoin(page.url, form["attrs"].get("action") or page.url)
        data = urllib.parse.urlencode(pairs).encode()
        return self.visit(action, data=data, initiator=origin(page.url))


def signed_in(browser, url, user, password):
    """Opens a page and signs in on the way."""
    page = browser.visit(url)
    is_password = lambda f: f["type"] == PASSWORD_TYPE
    form = page.form_with(is_password)
    check(form, f"{page.url} asks for no password:\n{text(page)}")
    fill = {PASSWORD_TYPE: password, **dict.fromkeys(USER_TYPES, user)}
    page = browser.submit(page, form, lambda field, _: fill.get(field["type"]))
    check(not page.form_with(is_password), f"sign-in was refused:\n{text(page)}")
    return page


def decide(url, user, password, wish):
    """Opens the consent page, signs in on the way, chooses for every capability, submits."""
    browser = Browser()
    page = signed_in(browser, url, user, password)
    is_decision = lambda f: (f.get("name") or "").startswith(DECISION_FIELDS)
    form = page.form_with(is_decision) or page.form_with(lambda f: f.get("name") == SUBMIT_BUTTON)
    check(form, f"{page.url} ({page.status}) asks for no decision:\n{text(page)}")

    def choose(field, values):
        fits = [w for w in wish if w in values]
        if field["type"] == "checkbox" and is_decision(field):
            return values[0] if wish is ALLOW else ""
        check(fits or not is_decision(field), f"none of {wish} is offered: {values}")
        return fits[0] if fits else None

    return browser.submit(page, form, choose)


def allow(url, user, password):
    return decide(url, user, password, ALLOW)


def deny(url, user, password):
    return decide(url, user, password, DENY)


def take_back(url, user, password, tool, client):
    """Opens "My consents", and takes back one after the other what was allowed to this tool through this client."""
    browser = Browser()
    page = signed_in(browser, origin(url) + CONSENTS, user, password)

    def consent(form):
        label = next((f.get("aria-label", "") for f in form["fields"] if f["type"] == "submit"), "")
        ends = form["attrs"].get("action", "").endswith(TAKE_BACK) and label.endswith(f", {client}")
        return ends and form["heading"] == tool

    taken = 0
    while form := next(filter(consent, page.forms), None):
        page = browser.submit(page, form, lambda *_: None)
        taken += 1
    check(taken, f"{page.url} has no consent to {tool} through {client}:\n{text(page)}")
    return page


def origin(url):
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def text(page):
    return "\n".join(page.words)


def check(holds, message):
    if not holds:
        raise SystemExit(f"browser: {message}")


if __name__ == "__main__":
    wishes = {"allow": (allow, 5), "deny": (deny, 5), "take-back": (take_back, 7)}
    run, length = wishes.get(sys.argv[1] if len(sys.argv) > 1 else None, (None, None))
    check(len(sys.argv) == length, __doc__)
    last = run(*sys.argv[2:])
    print(text(last))
    sys.exit(0 if last.status == 200 else f"browser: {last.url} answered {last.status}")
