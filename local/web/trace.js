// The live trace: mountTrace(element) shows the order that the page names by the CustomEvent "order" (detail: order_sn),
// its life so far and then each step as it happens; and the switchboard of WeChat's faults.
import { lang } from "./lang.js";
import { name, picture } from "./trace-picture.js";
import { say, yuan } from "./trace-words.js";

const HOP_MS = 120, HURRY_AT = 5, OLD_MS = 4000, TELL_EVERY_MS = 2000;
const STAFF = ["api.redeem", "api.refund"];
const GROUPS = {
  callback: ["callback_lost", "callback_late", "callback_ten", "callback_probe", "callback_wrong_amount"],
  prepay: ["prepay_500", "prepay_reply_lost", "paid_first", "query_timeout"],
  cashier: ["coupon", "paid_after_close"],
  send: ["message_refused", "message_busy", "message_no_page", "token_invalidated"],
  refund: ["refund_not_enough", "refund_reply_lost", "refund_abnormal"],
};
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const el = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
};

const clock = (at) => new Date(at).toLocaleTimeString(lang === "zh" ? "zh-CN" : "en-GB");
const took = (ms) => Math.abs(ms) < 10_000 ? `${Math.round(ms)} ms` : ms < 120_000 ? `${(ms / 1000).toFixed(3)} s` : `${Math.floor(ms / 60_000)} min ${Math.round(ms / 1000) % 60} s`;

/** The functions that get an event: the template's filters, `payment.*` for all that begin so. */
const consumersOf = (event, functions) => functions.filter(({ takes }) => event && takes.some((type) => type.endsWith("*") ? event.startsWith(type.slice(0, -1)) : event === type));

/** Through which lines of the picture a step went, one after the other. */
function hops({ happened, part, event, facts }, functions) {
  if (happened.startsWith("api.")) return [[STAFF.includes(happened) ? "staff" : "phone", "gateway"], ["gateway", part]];
  if (happened === "call.callback") return facts.fault === "drop" ? [["wechat", "wechat"]] : [["wechat", "gateway"], ["gateway", "wx_callback"]];
  if (happened.startsWith("call.")) return [[facts.caller, "wechat"]];
  if (part === "wechat") return [["phone", "wechat"]];
  const way = functions.some(({ name, takes }) => name === part && takes.length) ? [[`q_${part}`, part]] : [];
  way.push([part, "table"]);
  const consumers = consumersOf(event, functions), publisher = functions.find(({ stream }) => stream)?.name;
  if (consumers.length) way.push(["table", "stream"], ["stream", publisher], [publisher, "topic"], ...consumers.map((one) => ["topic", `q_${one.name}`]));
  return way;
}

/** Whether it went as nobody wants it to. */
function bad({ happened, state, facts }) {
  if (happened === "call.callback") return facts.ms !== null && ![200, 204].includes(facts.status);
  if (happened.startsWith("call.")) return facts.ms !== null && (facts.fault === "drop" || facts.status === 0 || facts.status >= 400 || /^-?[1-9]/.test(facts.code));
  if (happened.startsWith("api.")) return facts.ms !== null && (facts.status === 0 || facts.status >= 400);
  return ["ABNORMAL", "REFUSED", "MISPAID"].includes(state) || happened === "case.opened" || ["failed", "unknown", "waiting"].includes(facts.delivery);
}

/** What a step says besides its name. */
function outcome({ happened, facts, by }) {
  const said = [];
  if (facts.fen) said.push(yuan(facts.fen));
  if (facts.template) said.push(`${say(facts.template)}: ${say(facts.delivery === "failed" ? "failedMessage" : facts.delivery)}`);
  if (facts.times > 1) said.push(say("times", facts.times));
  if (happened.startsWith("call.") || happened.startsWith("api.")) {
    const cashier = happened === "call.cashier", callback = happened === "call.callback";
    if (callback) said.push(say(facts.detail.startsWith("REFUND") ? "ofRefund" : "ofPayment"));
    if (facts.ms === null) said.push(say("running"));
    else if (callback && facts.fault === "drop") said.push(say("lostAway"));
    else if (facts.fault === "drop") said.push(say("lostAnswer"));
    else if (cashier && /cancel/.test(facts.code)) said.push(say("cancel"));
    else if (cashier && facts.code) said.push(facts.code);
    else if (!facts.status) said.push(say("silent"));
    else if (callback || facts.status >= 400) said.push(say("answered", facts.status));
    if (!cashier && facts.code) said.push(facts.code);
    if (facts.answer) said.push(facts.answer);
    if (facts.ms !== null && !cashier && !(callback && facts.fault === "drop")) said.push(took(facts.ms));
  }
  if (facts.why) said.push(facts.why);
  if (facts.detail && happened === "case.opened") said.push(`${facts.case}${facts.detail ? `: ${facts.detail}` : ""}`);
  if (facts.reason) said.push(facts.reason);
  if (facts.resolution) said.push(`${facts.resolution}, ${facts.reference}`);
  if (["late", "second"].includes(facts.origin)) said.push(say(facts.origin));
  if (by) said.push(by);
  return said.join(" · ");
}

/** Draws the trace into `element` and lets it follow the page's orders. */
export function mountTrace(element) {
  const status = el("p", { class: "trace-status soft" }, say("rest"));
  const told = el("p", { class: "visually-hidden", role: "status", "aria-live": "polite" });
  const frame = el("div", { class: "trace-frame" });
  const body = el("tbody");
  const table = el("table", { class: "trace-steps", "aria-label": say("timeline"), hidden: true },
    el("thead", {}, el("tr", {}, ...["when", "step", "state"].map((key) => el("th", { scope: "col" }, say(key))))), body);
  const scroller = el("div", { class: "trace-scroll", tabindex: 0, role: "region", "aria-label": say("timeline") }, table);
  element.classList.add("trace");
  element.append(
    el("header", {}, el("h2", {}, say("title")), status), told, frame, switchboard(), scroller);

  const drawn = picture(frame), rows = new Map();
  let functions = [];
  const known = fetch("/live/functions").then((reply) => reply.json()).then((told) => drawn.show(functions = told));
  let source, where = "", waiting = [], playing = false, fresh = 0, telling;
  drawn.describe(`${say("picture")}. ${say("rest")}`);

  /** Speaks once in a while, of all that is new. */
  function tell() {
    telling ??= setTimeout(() => {
      telling = undefined;
      told.textContent = fresh ? `${say("fresh", fresh)}. ${where}` : where;
      fresh = 0;
      drawn.describe(`${say("picture")}. ${where}. ${say("touched")}${drawn.touched().map(name).join(", ")}`);
    }, TELL_EVERY_MS);
  }

  /** What passed lights up step by step, slower than it happened: milliseconds are too fast to be seen. */
  async function play() {
    if (playing) return;
    playing = true;
    while (waiting.length) {
      const step = waiting.shift(), wrong = bad(step), row = rows.get(step.id)?.row, mine = source;
      row?.classList.add("now");
      for (const [from, to] of hops(step, functions)) {
        if (mine !== source) break; // another order
        if (from !== to) drawn.pulse(from, to, wrong);
        drawn.touch(from, {});
        await new Promise((done) => setTimeout(done, HOP_MS / Math.max(waiting.length / HURRY_AT, 1)));
        if (mine === source) drawn.touch(to, { show: true, bad: wrong });
      }
      row?.classList.remove("now");
    }
    playing = false;
  }

  function show(step) {
    if (step.gone) {
      rows.get(step.id)?.row.remove();
      rows.delete(step.id);
      return;
    }
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40;
    const known = rows.get(step.id), wrong = bad(step);
    const where = step.happened.startsWith("call.") && step.facts.caller !== "wechat" ? step.facts.caller : step.part;
    const row = el("tr", { class: `${step.happened.split(".")[0]}${wrong ? " bad" : ""}` },
      el("td", { class: "ms", title: step.timed ? clock(step.at) : "" }, step.timed ? took(step.ms) : ""),
      el("td", {}, el("span", { class: "what" }, say(step.happened)), el("span", { class: "more" }, outcome(step)), el("span", { class: "where" }, where)),
      el("td", { class: "states" }, step.state ? el("span", { class: "state" }, step.state) : null, step.event ? el("span", { class: "event" }, step.event) : null));
    row.dataset.ms = step.ms;
    known?.row.remove();
    body.insertBefore(row, [...body.rows].find((other) => +other.dataset.ms > step.ms) ?? null);
    if (!known) fresh += 1;
    rows.set(step.id, { row });
    if (!known || (wrong && !known.wrong)) {
      if (calm.matches || Date.now() - new Date(step.at) > OLD_MS) hops(step, functions).flat().forEach((part) => drawn.touch(part, {}));
      else { waiting.push(step); play(); }
    }
    rows.get(step.id).wrong = wrong;
    table.hidden = false;
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  }

  function stand(state) {
    const money = `${say("total")} ${yuan(state.total_fen)}${state.refunded_fen ? `, ${say("back")} ${yuan(state.refunded_fen)}` : ""}`;
    where = `${state.order_sn}: ${say(state.order)}${state.closing ? ` (${say("closing")})` : ""}`;
    status.replaceChildren(
      el("code", {}, state.order_sn), " ", el("strong", { class: `order ${state.order}` }, say(state.closing ? "closing" : state.order)), ` · ${money} · ${say("steps", rows.size)}`,
      el("br"), state.trouble ? say("trouble") : state.janitor ? `${say("janitor")} ${clock(state.janitor)}` : "");
    tell();
    element.dispatchEvent(new Event("trace-state"));
  }

  function follow(order_sn) {
    source?.close();
    rows.clear();
    body.replaceChildren();
    table.hidden = true;
    waiting = [];
    drawn.forget();
    status.textContent = order_sn;
    source = new EventSource(`/live/orders/${encodeURIComponent(order_sn)}`);
    source.addEventListener("step", (event) => show(JSON.parse(event.data)));
    source.addEventListener("state", (event) => stand(JSON.parse(event.data)));
    source.onerror = () => { status.textContent = `${order_sn}: ${say(source.readyState === EventSource.CLOSED ? "gone" : "lost")}`; };
  }
  document.addEventListener("order", ({ detail }) => known.catch(() => {}).then(() => follow(detail)));

  /** The faults that can be switched on, what they did, and the janitor's bell. */
  function switchboard() {
    const count = el("span", { class: "badge", hidden: true }), said = el("p", { role: "status", class: "soft" }), rowsOf = {};
    const json = async (path, method = "GET", sent) => {
      const reply = await fetch(path, { method, signal: AbortSignal.timeout(60_000), ...(sent && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(sent) }) });
      const read = await reply.json();
      if (!reply.ok) throw new Error(read.title);
      return read;
    };
    const ask = async (...what) => {
      try {
        const switches = await json("/live/faults", ...what);
        for (const { name: one, mode, fired } of switches) {
          if (!rowsOf[one]) continue;
          rowsOf[one].querySelector(`input[value=${mode}]`).checked = true;
          rowsOf[one].classList.toggle("armed", mode !== "off");
          const times = rowsOf[one].querySelector(".fired");
          times.replaceChildren(...(fired ? [el("span", { "aria-hidden": "true" }, `×${fired}`), el("span", { class: "visually-hidden" }, say("fired", fired))] : []));
        }
        const on = switches.filter(({ mode }) => mode !== "off").length;
        count.hidden = !on;
        count.textContent = say("faultsOn", on);
      } catch (error) { said.textContent = say("failed") + error.message; }
    };
    const one = (key) => rowsOf[key] = el("fieldset", { class: "switch" }, el("legend", {}, say(key)), el("span", { class: "fired" }),
      el("span", { class: "modes" }, ...["off", "once", "always"].map((mode) => el("label", {},
        el("input", { type: "radio", name: `fault-${key}`, value: mode, checked: mode === "off", onchange: () => ask("POST", { name: key, mode }) }), el("span", {}, say(mode))))));
    const sweep = async () => {
      said.textContent = say("sweeping");
      try {
        const done = await json("/live/sweep", "POST");
        said.textContent = say("swept", done.orders, done.failed);
      } catch (error) { said.textContent = say("failed") + error.message; }
    };
    let soon;
    const refresh = () => { soon ??= setTimeout(() => { soon = undefined; ask(); }, 500); };
    element.addEventListener("trace-state", refresh);
    ask();
    return el("details", { class: "trace-faults", ontoggle: refresh },
      el("summary", {}, say("faults"), " ", count),
      el("p", { class: "soft" }, say("faultsHelp")),
      el("div", { class: "groups" }, ...Object.entries(GROUPS).map(([group, keys]) => el("section", {}, el("h3", {}, say(`g_${group}`)), ...keys.map(one)))),
      el("p", { class: "buttons" }, el("button", { type: "button", onclick: () => ask("DELETE") }, say("allOff")), " ", el("button", { type: "button", onclick: sweep }, say("sweep"))),
      said);
  }
}
