// What the counter says, in Chinese and in English, and how it writes days, sessions and instants.

import { lang } from "./lang.js"

export const T = {
  zh: {
    title: "前台",
    comma: "，",
    period: "。",
    colon: "：",
    about: (what, more) => `${what}（${more}）`,
    views: { desk: "订单" },
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
    redeemOf: { course: "核销签到" },
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
    order: "订单",
    openOrder: "打开订单",
    holds: "占用",
    givesUp: "客人同时退订",
    givesUpSeats: (most) => `同时退订几位（最多 ${most}）`,
    freed: "退订的部分马上空出来，可以再卖；退款成不成功都不再恢复。",
    endsAll: "没有剩下的了：订单随之结束，不能再核销。",
    seatsWrong: (most) => `退订的座位数是 0 到 ${most}`,
    alsoGivenUp: (what) => `已退订 ${what}`,
    oneNight: (day) => `${day}一晚`,
    nightsFrom: (day, n) => `${day}起 ${n} 晚`,
    seatsOf: (session, n) => `${session} ${n} 位`,
    nothing: "没有",
    byRule: "按规则退",
    guestGivesUp: "退订",
    guestSays: "客人说",
    grant: "同意退款",
    decline: "不同意",
    granting: "同意后订单结束，没有开始的部分马上空出来，可以再卖。",
    granted: "已同意退款",
    declined: "已答复客人：不同意退款",
    declining: "订单保持有效。客人会看到这个原因。",
    declineWrong: "原因至少 2 个字",
    orderHeld: "订单占用",
    stockToDo:
      "订单结束时，库存里没有它占用的全部记录。请在库存页核对这些日子或场次由谁占用，需要时锁定或改订；" +
      "然后结案，结果选“留存”，写明核对的情况。",
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
    statusOf: { course: { WAIT_USE: "待上课", USED: "已签到" } },
    givenUp: "已退订",
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
      refund_request: "客人申请退款",
      stock: "库存与订单不符",
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
      "sold-out": "已经没有这么多空余",
      "fewer-than-held": "已占用的比这更多，只有店主可以这样改",
      "cannot-give-up": "订单没有占用这些，或者已经开始，不能退订",
      "given-up": "客人已经退订，不能核销",
      "too-many-requests": "申请次数太多",
      "price-changed": "价格变了",
    },
    unknown: "还不知道结果。请再按一次：不会重复退款",
    notValid: "填写有误",
    freeOf: (name, n) => `${name}剩 ${n}`,
    heldOf: (name, n) => `${name}已占 ${n}`,
    inPieces: "这些晚上只在不同的房间轮流空着：请分几次锁定",
    asked: "已申请退款",
    wait: (s) => (s < 60 ? `${s} 秒后再试` : `${Math.ceil(s / 60)} 分钟后再试`),
  },
  en: {
    title: "Counter",
    comma: ", ",
    period: ". ",
    colon: ": ",
    about: (what, more) => `${what} (${more})`,
    views: { desk: "Orders" },
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
    redeemOf: {},
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
    order: "Order",
    openOrder: "Open the order",
    holds: "Holds",
    givesUp: "With it the guest gives up",
    givesUpSeats: (most) => `Seats given up with it (at most ${most})`,
    freed: "What is given up is free at once, and for good: whatever becomes of the refund.",
    endsAll: "Nothing is left then: the order ends, and its code cannot be redeemed.",
    seatsWrong: (most) => `Seats given up: 0 to ${most}`,
    alsoGivenUp: (what) => `given up: ${what}`,
    oneNight: (day) => `1 night, ${day}`,
    nightsFrom: (day, n) => `${n} nights from ${day}`,
    seatsOf: (session, n) => `${n} ${n === 1 ? "seat" : "seats"}, ${session}`,
    nothing: "nothing",
    byRule: "By the rule",
    guestGivesUp: "Gives up",
    guestSays: "The guest says",
    grant: "Grant",
    decline: "Decline",
    granting: "The booking ends with it, and what has not begun is free at once.",
    granted: "Refund granted",
    declined: "Declined; the guest is told",
    declining: "The booking stays valid. The guest reads this reason.",
    declineWrong: "A reason of 2 characters or more",
    orderHeld: "The order held",
    stockToDo:
      "When the order ended, the stock did not know all that it held. See on the stock page who holds these nights or " +
      "seats, and block or rebook where that is needed; then close this as kept, and say what you found.",
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
    statusOf: { course: { WAIT_USE: "Ready to attend" } },
    givenUp: "Given up",
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
      refund_request: "A guest asks for a refund",
      stock: "Stock and order do not match",
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
      "sold-out": "That much is not free any more",
      "fewer-than-held": "More is held than that; only the owner may do so",
      "cannot-give-up": "The order does not hold that, or it has begun: it cannot be given up",
      "given-up": "The guest has given this up; it cannot be redeemed",
      "too-many-requests": "Too many requests",
      "price-changed": "The price has changed",
    },
    unknown: "Not known yet. Press again: it cannot refund twice",
    notValid: "Not valid",
    freeOf: (name, n) => `${name}: ${n} free`,
    heldOf: (name, n) => `${name}: ${n} held`,
    inPieces: "They are free only in several rooms by turns: block some of them at a time",
    asked: "Refund requested",
    wait: (s) => (s < 60 ? `try again in ${s} s` : `try again in ${Math.ceil(s / 60)} min`),
  },
}[lang]

const LOCALE = lang === "zh" ? "zh-CN" : "en-GB"

export const time = (iso) =>
  iso ? new Date(iso).toLocaleString(LOCALE, { dateStyle: "short", timeStyle: "short" }) : ""

// --- days and sessions, which are Beijing's

const BEIJING_MS = 8 * 3600 * 1000
const DAY_MS = 24 * 3600 * 1000

export const today = () => new Date(Date.now() + BEIJING_MS).toISOString().slice(0, 10)

const at = (day) => new Date(`${day}T00:00Z`)

// The day so many days after this one.
export const dayAfter = (day, number = 1) => new Date(at(day).getTime() + number * DAY_MS).toISOString().slice(0, 10)

// The month (2026-12) so many months after this one.
export function monthAfter(month, number) {
  const [year, n] = month.split("-").map(Number)
  return new Date(Date.UTC(year, n - 1 + number)).toISOString().slice(0, 7)
}

export const monthText = (month) =>
  at(`${month}-01`).toLocaleDateString(LOCALE, { timeZone: "UTC", year: "numeric", month: "long" })

// 12月5日周六; with its year if that is another one than today's.
export function dayText(day) {
  const year = day.slice(0, 4) === today().slice(0, 4) ? {} : { year: "numeric" }
  const shown = { timeZone: "UTC", month: "short", day: "numeric", weekday: "short", ...year }
  return at(day).toLocaleDateString(LOCALE, shown)
}

// Of a session (2026-12-05T19:00), or a day alone.
export function beginText(name) {
  const [day, clock] = name.split("T")
  return clock ? `${dayText(day)} ${clock}` : dayText(day)
}

export const nightsFrom = (day, number) =>
  number === 1 ? T.oneNight(dayText(day)) : T.nightsFrom(dayText(day), number)

// Nights in a row are told together.
export function nightsText(nights) {
  const runs = []
  for (const night of [...nights].sort()) {
    const last = runs.at(-1)
    if (last && dayAfter(last.day, last.number) === night) last.number += 1
    else runs.push({ day: night, number: 1 })
  }
  return runs.map(({ day, number }) => nightsFrom(day, number)).join(T.comma)
}

// What an order or a block holds; "" if it holds nothing.
export function holdsText({ nights, session, seats }) {
  return [nights.length && nightsText(nights), session && seats && T.seatsOf(beginText(session), seats)]
    .filter(Boolean)
    .join(T.comma)
}

// Whether a night, or a session, has begun: a night does at 18:00.
export const begun = (name) => new Date(name.includes("T") ? `${name}+08:00` : `${name}T18:00+08:00`) <= new Date()
