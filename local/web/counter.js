// The counter: staff look an order up by its code, redeem it, refund it, and close cases. Nothing is shown without a
// staff token; it lives as long as the tab does.

import { h, yuan } from "./dom.js"
import { lang, switchLang } from "./lang.js"
import { purchaseLines } from "./products.js"

const TIMEOUT_MS = 20000
const MAX_REASON = 24
const TOKEN = "counter.token"

const T = {
  zh: {
    title: "前台",
    signIn: "登录",
    token: "员工令牌",
    hint: "在终端运行，打开它给出的地址；或粘贴 ./dev token 的结果：",
    out: "退出",
    other: "English",
    code: "入住验证码或订单号",
    look: "查询",
    scan: "扫码",
    stop: "停止扫码",
    camera: "摄像头打不开",
    redeem: "核销入住",
    redeemed: "核销成功",
    refund: "退款",
    cancel: "取消",
    send: "退款",
    again: "再试一次",
    full: "全额",
    part: "部分",
    amount: "金额（元）",
    reason: "原因",
    left: "可退",
    reasons: "客人会看到",
    total: "总额",
    back_fen: "已退",
    payments: "付款",
    refunds: "退款",
    cases: "待处理的款项",
    none: "没有待处理的款项",
    more: "更多",
    close: "结案",
    resolution: "结果",
    reference: "凭据",
    closed: "已结案",
    refundAgain: "再次退款",
    opened: "发现于",
    usedBy: "核销人",
    needCode: "核销需要客人的验证码：请输入验证码",
    choose: "两个订单有相同的验证码，请选择",
    amountWrong: "请填写金额，例如 12.50",
    amountMore: "最多可退",
    reasonWrong: "请填写原因",
    status: {
      WAIT_PAY: "待付款",
      WAIT_USE: "待入住",
      USED: "已入住",
      CANCELLED: "已取消",
      EXPIRED: "已过期",
      REFUNDED: "已退款",
    },
    payment: { NOTPAY: "未付款", SUCCESS: "已付款", CLOSED: "已关闭", MISPAID: "金额不符" },
    refundStatus: {
      REQUESTED: "申请中",
      PROCESSING: "处理中",
      SUCCESS: "已退回",
      ABNORMAL: "退款异常",
      CLOSED: "已关闭",
      REFUSED: "被拒绝",
      WITHDRAWN: "已撤回",
      withdrawing: "撤回中",
    },
    onHold: "待核实",
    held: "微信显示这笔款项已退，但这里没有退款记录。核实之前不能核销，也不能退款；请先处理下面的款项",
    tryNow: "立即重试",
    trying: "一分钟内会再次请求微信",
    withdraw: "撤回",
    withdrawing: "微信确认没有这笔退款后撤回，约需三分钟",
    withdrawSure: "撤回这笔退款？如果微信已经受理，退款会照常进行。",
    byHand: "线下已退",
    stuck: "微信退款异常",
    sure: (fen, how) => `确认结案：${fen}，${how}？结案后不能撤销。`,
    check: "请核对",
    resolutions: { refunded: "已退款", booked: "已入账", kept: "留存", settled_by_hand: "线下已退（仅店主）" },
    references: {
      refunded: "商户退款单号；会向微信核实",
      booked: "订单号",
      kept: "原因，至少 10 个字",
      settled_by_hand: "怎样、何时、退给谁，至少 20 个字",
    },
    kinds: {
      unknown_trade: "收到一笔不认识的付款",
      mispaid: "付款与订单不符",
      second_transaction: "同一单号付了两次",
      unreadable: "一条读不懂的微信通知",
      refunded_elsewhere: "微信显示已退款，这里没有记录",
      unknown_refund: "不认识的退款",
      refund_mismatch: "退款与记录不符",
      refund_abnormal: "退款异常，客人账户收不到",
      refund_closed: "退款被微信关闭",
      refund_refused: "退款被微信拒绝",
      refund_stalled: "退款七天没有结果",
      refund_after_withdrawal: "撤回的退款还是发生了",
      refund_after_settlement: "线下已退，微信又退了一次",
      refunds_exceed: "退款合计超过付款",
      shipping_refused: "微信不收发货信息",
    },
    problems: {
      offline: "网络不通，请重试",
      broken: "系统出错，请稍后重试",
      signin: "令牌已失效，请重新登录",
      "staff-only": "这不是员工令牌",
      "not-found": "没有这个验证码或订单",
      invalid: "验证码是十位字母和数字，在客人的消息里",
      "code-used": "这个验证码已经核销过",
      "code-expired": "使用期已过，验证码失效",
      "code-refunded": "订单已退款",
      "refund-in-flight": "订单正在全额退款，不能核销",
      "order-not-paid": "订单还没有付款",
      "order-state": "订单的状态不允许这样做",
      "too-many-guesses": "错误次数太多",
      "refund-exceeds": "超过可退金额",
      "case-closed": "已经结案",
      "not-refundable": "这不是可以自动退的款项",
      "refund-state": "这笔退款现在不能这样处理",
      "try-again": "请再试一次",
      "on-hold": "微信显示这笔款项已退，请先核实",
      "too-many-refunds": "一笔付款最多退 50 次",
      "owner-only": "只有店主可以这样结案",
      resolution: "这笔款项不能这样结案",
      "wechat-unavailable": "现在无法向微信核实，没有结案，请再试",
      reference: "凭据不对",
    },
    unknown: "还不知道结果。请再按一次：不会重复退款",
    asked: "已申请退款",
    wait: (s) => (s < 60 ? `${s} 秒后再试` : `${Math.ceil(s / 60)} 分钟后再试`),
  },
  en: {
    title: "Counter",
    signIn: "Sign in",
    token: "Staff token",
    hint: "Run in a terminal and open the address that it prints; or paste what ./dev token prints:",
    out: "Sign out",
    other: "中文",
    code: "Check-in code or order number",
    look: "Look up",
    scan: "Scan",
    stop: "Stop scanning",
    camera: "The camera does not open",
    redeem: "Redeem",
    redeemed: "Redeemed",
    refund: "Refund",
    cancel: "Cancel",
    send: "Refund",
    again: "Try again",
    full: "All of it",
    part: "A part",
    amount: "Amount in yuan",
    reason: "Reason",
    left: "May be refunded",
    reasons: "the guest will read it",
    total: "Total",
    back_fen: "Refunded",
    payments: "Payments",
    refunds: "Refunds",
    cases: "Open cases",
    none: "No open cases",
    more: "More",
    close: "Close the case",
    resolution: "Resolution",
    reference: "Reference",
    closed: "Closed",
    refundAgain: "Refund again",
    opened: "Found",
    usedBy: "Redeemed by",
    needCode: "To redeem, enter the guest's code",
    choose: "Two orders have this code; choose",
    amountWrong: "Enter a sum such as 12.50",
    amountMore: "At most",
    reasonWrong: "Enter a reason",
    status: {
      WAIT_PAY: "Not paid",
      WAIT_USE: "Ready to check in",
      USED: "Checked in",
      CANCELLED: "Cancelled",
      EXPIRED: "Expired",
      REFUNDED: "Refunded",
    },
    payment: { NOTPAY: "not paid", SUCCESS: "paid", CLOSED: "closed", MISPAID: "wrong amount" },
    refundStatus: {
      REQUESTED: "requested",
      PROCESSING: "on its way",
      SUCCESS: "done",
      ABNORMAL: "stuck",
      CLOSED: "closed",
      REFUSED: "refused",
      WITHDRAWN: "withdrawn",
      withdrawing: "being withdrawn",
    },
    onHold: "On hold",
    held:
      "WeChat calls this payment refunded, and no refund is known here. Until that is found out it is neither " +
      "redeemed nor refunded; see the case below",
    tryNow: "Try now",
    trying: "WeChat is asked again within a minute",
    withdraw: "Withdraw",
    withdrawing: "It is withdrawn when WeChat confirms that it has none, in about three minutes",
    withdrawSure: "Withdraw this refund? If WeChat has taken it, it goes on.",
    byHand: "Given back by hand",
    stuck: "WeChat could not give back",
    sure: (fen, how) => `Close it: ${fen}, ${how}? This cannot be undone.`,
    check: "Check",
    resolutions: {
      refunded: "refunded",
      booked: "booked",
      kept: "kept",
      settled_by_hand: "given back by hand (owner only)",
    },
    references: {
      refunded: "out_refund_no; WeChat is asked about it",
      booked: "order number",
      kept: "why, 10 characters or more",
      settled_by_hand: "how, when and to whom, 20 characters or more",
    },
    kinds: {
      unknown_trade: "A payment that nobody here asked for",
      mispaid: "Paid, but not as asked for",
      second_transaction: "Paid twice under one number",
      unreadable: "A notice of WeChat's that cannot be read",
      refunded_elsewhere: "WeChat calls it refunded; no refund is known here",
      unknown_refund: "A refund of no payment of ours",
      refund_mismatch: "A refund that is not as recorded",
      refund_abnormal: "The guest's account cannot take the refund",
      refund_closed: "WeChat gave the refund up",
      refund_refused: "WeChat refuses the refund",
      refund_stalled: "A refund without an end for seven days",
      refund_after_withdrawal: "A withdrawn refund happened all the same",
      refund_after_settlement: "Given back by hand, and by WeChat too",
      refunds_exceed: "Refunds are more than was paid",
      shipping_refused: "WeChat does not take the shipping record",
    },
    problems: {
      offline: "No network; try again",
      broken: "Something broke; try again later",
      signin: "The token is no longer valid; sign in again",
      "staff-only": "This is not a staff token",
      "not-found": "There is no such code or order",
      invalid: "A code has ten letters and digits; it is in the guest's message",
      "code-used": "This code has been redeemed",
      "code-expired": "Its time is over; the code has expired",
      "code-refunded": "The order is refunded",
      "refund-in-flight": "All of it is being refunded; it cannot be redeemed",
      "order-not-paid": "The order is not paid yet",
      "order-state": "The order's state does not allow this",
      "too-many-guesses": "Too many wrong codes",
      "refund-exceeds": "More than may be refunded",
      "case-closed": "It is closed already",
      "not-refundable": "This is not money that can go back by itself",
      "refund-state": "That cannot be done with this refund now",
      "try-again": "Try again",
      "on-hold": "WeChat calls it refunded: look into its case first",
      "too-many-refunds": "WeChat takes 50 refunds of one payment",
      "owner-only": "Only the owner can close it so",
      resolution: "This case cannot be closed so",
      "wechat-unavailable": "WeChat cannot be asked now; the case is still open, try again",
      reference: "The reference does not hold",
    },
    unknown: "Not known yet. Press again: it cannot refund twice",
    asked: "Refund requested",
    wait: (s) => (s < 60 ? `try again in ${s} s` : `try again in ${Math.ceil(s / 60)} min`),
  },
}[lang]

const time = (iso) =>
  iso ? new Date(iso).toLocaleString(lang === "zh" ? "zh-CN" : "en-GB", { dateStyle: "short", timeStyle: "short" }) : ""

// --- the API

class Problem extends Error {
  constructor(kind, problem = {}, status = 0, wait = 0) {
    super(kind)
    Object.assign(this, { kind, problem, status, known: status >= 400 && status < 500 })
    this.text = [T.problems[kind] ?? T.problems.broken, wait ? T.wait(wait) : ""].filter(Boolean).join("，")
  }
}

async function api(method, path, body, headers = {}) {
  let reply
  try {
    reply = await fetch(`api/merchant/${path}`, {
      method,
      headers: {
        Authorization: `Bearer ${sessionStorage.getItem(TOKEN)}`,
        ...(body ? { "Content-Type": "application/json" } : {}),
        ...headers,
      },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
  } catch {
    throw new Problem("offline")
  }
  const told = await reply.json().catch(() => ({}))
  if (reply.ok) return told
  const kind = told.type?.replace("urn:wxpay:", "")
  if (reply.status === 401 || (reply.status === 403 && !kind)) throw new Problem("signin", told, reply.status)
  throw new Problem(kind ?? "broken", told, reply.status, Number(reply.headers.get("Retry-After")))
}

// --- the page

const main = h("main")
const said = h("p", { className: "said", role: "status" })
const note = (text, kind = "") => {
  said.textContent = text
  said.className = `said ${kind}`
}
const attempt = (work) => async (event) => {
  event?.preventDefault?.()
  note("")
  try {
    await work(event)
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (error.kind === "signin" || error.kind === "staff-only") return signIn(error.text)
    note(error.text, "bad")
  }
}

function frame(...parts) {
  const out = h("button", { textContent: T.out, onclick: () => signIn() })
  const other = h("button", { textContent: T.other, onclick: switchLang })
  const nav = h("nav", {}, sessionStorage.getItem(TOKEN) && out, other)
  document.body.replaceChildren(h("header", { className: "bar" }, h("h1", { textContent: T.title }), nav), main)
  main.replaceChildren(...parts)
}

const code = h("input", {
  id: "code",
  name: "code",
  autocomplete: "off",
  autocapitalize: "characters",
  spellcheck: false,
  maxLength: 40,
  className: "code",
  required: true,
})

function signIn(text = "") {
  sessionStorage.removeItem(TOKEN)
  const token = h("input", { type: "password", id: "token", required: true, autocomplete: "off" })
  const enter = attempt(async () => {
    sessionStorage.setItem(TOKEN, token.value.trim())
    await open()
  })
  const label = h("label", { htmlFor: "token", textContent: T.token })
  const hint = h("p", { className: "soft" }, T.hint, h("br"), h("code", { textContent: "./dev token --link" }))
  const button = h("button", { className: "primary", textContent: T.signIn })
  frame(h("form", { className: "card", onsubmit: enter }, label, token, hint, button), said)
  note(text, "bad")
  token.focus()
}

// The desk; that the token is good for it the cases show.
async function open() {
  const cases = await api("GET", "cases")
  const found = h("section", { aria: { live: "polite" } })
  const submit = attempt(async () => {
    found.replaceChildren()
    const { orders } = await api("POST", "lookups", { code: code.value })
    if (orders.length > 1) note(T.choose)
    found.replaceChildren(...orders.map((order) => orderCard(order, code.value)))
  })
  const label = h("label", { htmlFor: "code", textContent: T.code })
  const button = h("button", { className: "primary", textContent: T.look })
  const line = h("div", { className: "line" }, code, button, scanner(submit))
  frame(h("form", { className: "card find", onsubmit: submit }, label, line), said, found, caseList(cases))
  code.focus()
}

// A camera button where the browser reads QR codes itself; a scanner that types needs nothing.
function scanner(submit) {
  if (!("BarcodeDetector" in window)) return null
  const button = h("button", { type: "button", textContent: T.scan })
  let stop = null
  button.onclick = async () => {
    if (stop) return stop()
    let stream
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } })
    } catch {
      return note(T.camera, "bad")
    }
    const video = h("video", { autoplay: true, muted: true, playsInline: true, srcObject: stream })
    button.textContent = T.stop
    button.closest("form").append(video)
    stop = () => {
      stream.getTracks().forEach((track) => track.stop())
      video.remove()
      button.textContent = T.scan
      stop = null
    }
    const detector = new BarcodeDetector({ formats: ["qr_code"] })
    const look = async () => {
      if (!stop) return
      const [seen] = video.readyState >= 2 ? await detector.detect(video) : []
      if (!seen) return requestAnimationFrame(look)
      stop()
      code.value = seen.rawValue
      await submit()
    }
    look()
  }
  return button
}

// --- an order

const row = (name, ...value) => h("div", { className: "row" }, h("dt", { textContent: name }), h("dd", {}, ...value))

function paymentText({ status, out_trade_no, success_time }) {
  return `${T.payment[status] ?? status} · ${out_trade_no} · ${time(success_time)}`
}

// The total, and what of it went back, in which way.
function sumsText({ total_fen, refunded_fen, by_hand_fen, stuck_fen }) {
  const ways = [
    [T.back_fen, refunded_fen],
    [T.byHand, by_hand_fen],
    [T.stuck, stuck_fen],
  ]
  const back = ways.filter(([, fen]) => fen).map(([way, fen]) => `${way} ${yuan(fen)}`)
  return [yuan(total_fen), ...back].join(" · ")
}

// What is known of an order, line by line.
function orderFacts(order, reload) {
  const payments = order.payments.map((one) => h("li", { textContent: paymentText(one) }))
  const refunds = order.refunds.map((one) => refundLine(order, one, reload))
  return h(
    "dl",
    {},
    ...purchaseLines(order).map(([name, text]) => row(name, text)),
    row(T.total, sumsText(order)),
    order.used_at && row(T.usedBy, `${order.used_by} · ${time(order.used_at)}`),
    row(T.payments, h("ul", {}, payments)),
    refunds.length > 0 && row(T.refunds, h("ul", {}, refunds)),
  )
}

// An order, and what can be done with it. `typed` is what it was looked up by: only the guest's code redeems it.
function orderCard(order, typed) {
  const card = h("article", { className: "card", aria: { label: order.order_sn } })
  let timer
  const show = (changed) => {
    order = changed
    const { status, on_hold, refundable_fen } = order
    const word = h("strong", { className: `status ${status}`, textContent: on_hold ? T.onHold : T.status[status] })
    const held = h("p", { className: "said bad", textContent: T.held })
    const redeemButton = h("button", { className: "primary big", textContent: T.redeem, onclick: redeem })
    const toRefund = () => refundDialog(order, reload)
    const refundButton = h("button", { className: "danger", textContent: T.refund, onclick: toRefund })
    const refundable = refundable_fen > 0 && !on_hold
    const redeemable = refundable && status === "WAIT_USE"
    const unresolved = order.cases.filter((one) => !one.resolution)
    card.replaceChildren(
      h("div", { className: "head" }, h("h2", { textContent: order.purchase.title ?? order.order_sn }), word),
      ...(on_hold ? [held] : []),
      orderFacts(order, reload),
      h("div", { className: "line" }, redeemable && redeemButton, refundable && refundButton),
      h("p", { className: "soft", textContent: order.order_sn }),
      ...unresolved.map((one) => caseCard(one, reload)),
    )
    // What is on its way comes by itself: looked at again, less and less often.
    clearTimeout(timer)
    if (order.refunds.some((one) => ["REQUESTED", "PROCESSING"].includes(one.status))) {
      wait = Math.min(wait * 1.5, 15000)
      timer = setTimeout(again, wait)
    }
  }
  let wait = 700
  const again = () => {
    if (!card.isConnected) return
    if (document.hidden) timer = setTimeout(again, wait)
    else attempt(reload)()
  }
  const reload = async () => show(await api("GET", `orders/${order.order_sn}`))
  const redeem = attempt(async ({ target }) => {
    if (typed.trim() === order.order_sn) return note(T.needCode, "bad")
    target.disabled = true
    try {
      const { used_at } = await api("POST", "redemptions", { code: typed, order_sn: order.order_sn })
      note(`✓ ${T.redeemed} ${time(used_at)}`, "good")
      code.value = ""
      code.focus()
    } finally {
      target.disabled = false
      await reload()
    }
  })
  show(order)
  return card
}

// One refund: what it is, and what can be done while it is on its way.
function refundLine(order, one, reload) {
  const withdrawing = Boolean(one.withdrawing_at)
  const state = T.refundStatus[one.status === "REQUESTED" && withdrawing ? "withdrawing" : one.status] ?? one.status
  const path = `orders/${order.order_sn}/refunds/${encodeURIComponent(one.out_refund_no)}`
  const act = (what, told) => async () => {
    await api("POST", `${path}/${what}`)
    note(told, "good")
    await reload()
  }
  const sure = () => h("p", { textContent: T.withdrawSure })
  const toWithdraw = () => dialog(T.withdraw, [sure()], T.withdraw, act("withdraw", T.withdrawing))
  const retriable = ["REQUESTED", "PROCESSING", "ABNORMAL"].includes(one.status) && !withdrawing
  const withdrawable = one.status === "REQUESTED" && !withdrawing && one.origin === "merchant"
  return h(
    "li",
    {},
    `${yuan(one.amount_fen)} · ${state} · ${one.reason}`,
    retriable && h("button", { textContent: T.tryNow, onclick: attempt(act("try", T.trying)) }),
    withdrawable && h("button", { textContent: T.withdraw, onclick: toWithdraw }),
  )
}

// --- dialogs

// A form in a dialog. `send` throws a Problem, or ends it; `fields` are locked while the outcome is not known.
function dialog(title, fields, action, send) {
  const wrong = h("p", { className: "said bad", role: "status" })
  const button = h("button", { className: "primary", textContent: action })
  const submit = async (event) => {
    event.preventDefault()
    wrong.textContent = ""
    button.disabled = true
    try {
      await send()
      box.close()
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      if (error.kind === "signin") {
        box.close()
        return signIn(error.text)
      }
      wrong.textContent = error.text
      inputs.disabled = !error.known
      button.textContent = error.known ? action : T.again
    } finally {
      button.disabled = false
    }
  }
  const inputs = h("fieldset", {}, ...fields)
  const cancel = h("button", { type: "button", textContent: T.cancel, onclick: () => box.close() })
  const buttons = h("div", { className: "line end" }, cancel, button)
  const form = h("form", { onsubmit: submit }, h("h2", { textContent: title }), inputs, wrong, buttons)
  const box = h("dialog", { onclose: () => box.remove(), aria: { label: title } }, form)
  document.body.append(box)
  box.showModal()
  return box
}

const labelled = (text, input) => h("label", { className: "field" }, h("span", { textContent: text }), input)

// Fen of what a person typed as yuan; null when it is no sum. No floating point.
function fenOf(text) {
  const sum = text.trim().replace(/^[¥￥]\s*/, "")
  const found = sum.match(/^(\d{1,8})(?:[.。](\d{1,2}))?$/)
  return found ? Number(found[1]) * 100 + Number((found[2] ?? "").padEnd(2, "0")) : null
}

function refundDialog(order, reload) {
  const left = order.refundable_fen
  const chosen = () => {
    amount.disabled = whole.checked
    if (some.checked) amount.focus()
  }
  const whole = h("input", { type: "radio", name: "how", checked: true, onchange: chosen })
  const some = h("input", { type: "radio", name: "how", onchange: chosen })
  const amount = h("input", { inputMode: "decimal", disabled: true, autocomplete: "off" })
  const reason = h("input", { maxLength: MAX_REASON, autocomplete: "off" })
  const fields = [
    h("p", { textContent: `${T.left} ${yuan(left)}` }),
    h("label", {}, whole, ` ${T.full} ${yuan(left)}`),
    h("label", {}, some, ` ${T.part}`),
    labelled(T.amount, amount),
    labelled(`${T.reason}（${T.reasons}）`, reason),
  ]
  let key = crypto.randomUUID() // the same for every repeat, so that none of them refunds twice
  const send = async () => {
    const fen = whole.checked ? left : fenOf(amount.value)
    const wrong = (text) => Object.assign(new Problem("invalid", {}, 422), { text })
    if (!fen) throw wrong(T.amountWrong)
    if (fen > left) throw wrong(`${T.amountMore} ${yuan(left)}`)
    if (!reason.value.trim()) throw wrong(T.reasonWrong)
    const body = { amount_fen: fen, reason: reason.value.trim() }
    try {
      await api("POST", `orders/${order.order_sn}/refunds`, body, { "Idempotency-Key": key })
    } catch (error) {
      if (!error.known) error.text = `${error.text}。${T.unknown}`
      else key = crypto.randomUUID() // it was refused: what comes next is another refund
      throw error
    }
    note(`${T.asked} ${yuan(fen)}`, "good")
    await reload()
  }
  dialog(T.refund, fields, T.send, send)
}

// --- cases

// `page`: the first of them, and where the next one begins.
function caseList(page) {
  const list = h("div", {})
  const onMore = attempt(async () => add(await api("GET", `cases?after=${after}`)))
  const more = h("button", { textContent: T.more, onclick: onMore })
  const reload = async () => fill(await api("GET", "cases"))
  let after
  const add = ({ cases, next }) => {
    list.append(...cases.map((one) => caseCard(one, reload)))
    after = next
    more.hidden = !next
  }
  const fill = (first) => {
    const none = h("p", { className: "soft", textContent: T.none })
    list.replaceChildren(...(first.cases.length || first.next ? [] : [none]))
    add(first)
  }
  fill(page)
  return h("section", { className: "cases", aria: { label: T.cases } }, h("h2", { textContent: T.cases }), list, more)
}

function caseCard(one, reload) {
  const again = attempt(async () => {
    await api("POST", `cases/${one.case}/refund`, {})
    note(T.asked, "good")
    await reload()
  })
  const kind = T.kinds[one.kind] ?? one.kind
  const where = `${one.out_trade_no} ${one.transaction_id} · ${T.opened} ${time(one.opened_at)}`
  const sum = h("strong", { textContent: yuan(one.amount_fen) })
  const closeButton = h("button", { textContent: T.close, onclick: () => closeDialog(one, reload) })
  const againButton = h("button", { textContent: T.refundAgain, onclick: again })
  return h(
    "article",
    { className: "card case", aria: { label: kind } },
    h("div", { className: "head" }, h("strong", { textContent: kind }), sum),
    one.kind !== "refunded_elsewhere" && h("p", { textContent: one.detail }),
    h("p", { className: "soft", textContent: where }),
    h("div", { className: "line" }, closeButton, /^refund_(closed|refused)$/.test(one.kind) && againButton),
  )
}

// Closing cannot be undone: the first press says what will be written, the second writes it.
function closeDialog(one, reload) {
  const options = Object.entries(T.resolutions).map(([value, textContent]) => h("option", { value, textContent }))
  const resolution = h("select", {}, options)
  const reference = h("input", { maxLength: 128, required: true, autocomplete: "off" })
  const hint = h("p", { className: "soft" })
  const sure = h("p", { className: "said", role: "status" })
  let asked = ""
  const changed = () => {
    asked = sure.textContent = ""
    hint.textContent = T.references[resolution.value]
  }
  resolution.onchange = reference.oninput = changed
  changed()
  const send = async () => {
    const body = { resolution: resolution.value, reference: reference.value.trim() }
    if (asked !== JSON.stringify(body)) {
      asked = JSON.stringify(body)
      sure.textContent = T.sure(yuan(one.amount_fen), `${T.resolutions[body.resolution]}（${body.reference}）`)
      throw Object.assign(new Problem("check", {}, 409), { text: T.check })
    }
    try {
      await api("POST", `cases/${one.case}/close`, body)
    } catch (error) {
      if (error.kind === "invalid") error.text = `${T.problems.reference}：${error.problem.detail}`
      throw error
    }
    note(T.closed, "good")
    await reload()
  }
  const fields = [labelled(T.resolution, resolution), labelled(T.reference, reference), hint, sure]
  dialog(T.close, fields, T.close, send)
}

// --- start

// A token may come in the address after #, which no server ever sees; it does not stay there.
const handed = new URLSearchParams(location.hash.slice(1)).get("token")
if (handed) {
  sessionStorage.setItem(TOKEN, handed)
  history.replaceState(null, "", location.pathname)
}
if (sessionStorage.getItem(TOKEN)) attempt(open)()
else signIn()
