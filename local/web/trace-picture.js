// The architecture as a picture: boxes that light up, lines along which a pulse runs. Drawn for the width it gets.
import { say } from "./trace-words.js"

const SVG = "http://www.w3.org/2000/svg"
const API = ["orders", "create_prepay", "status_poll", "wx_callback", "merchant"]
const CONSUMERS = ["order_update", "upload_shipping", "notify_user", "execute_refund"]
const UNDER = {
  phone: "pay.js",
  staff: "",
  wechat: "Pay · API",
  gateway: "HTTP API",
  table: "DynamoDB",
  stream: "DynamoDB",
  topic: "SNS",
  sweep: "sweep",
}

export const name = (part) => say(part === "sweep" ? "sweep_box" : part.replace(/^q_/, ""))

/** Where everything is: boxes {part: [x, y, width, height]} and lines {"from>to": [[x, y], ...]}. */
function layout(width) {
  const narrow = width < 660
  const bar = narrow ? 54 : 88
  const gutter = narrow ? 22 : 28
  const tall = narrow ? 32 : 44
  const flat = narrow ? 26 : 34
  const gap = narrow ? 5 : 14
  const left = narrow ? 14 : 20
  const right = width - bar - (narrow ? 14 : 26)
  const space = right - left
  const boxes = {}
  const lines = {}
  const row = (parts, y, height, from = left, room = space) => {
    const each = (room - gap * (parts.length - 1)) / parts.length
    parts.forEach((part, i) => {
      boxes[part] = [from + i * (each + gap), y, each, height]
    })
    return y + height + gutter
  }
  let y = 6
  const client = narrow ? 84 : 150
  boxes.staff = [left, y, client, tall]
  boxes.phone = [right - client, y, client, tall]
  y = row(["gateway"], y + tall + gutter, flat)
  y = row(API, y, tall)
  y = row(["table"], y, flat)
  y = row(["stream", "publish_events", "topic", "sweep"], y, tall)
  row(
    CONSUMERS.map((part) => `q_${part}`),
    y,
    16,
  )
  row(CONSUMERS, y + 16, tall)
  const bottom = y + 16 + tall
  boxes.wechat = [width - bar - 2, 6, bar, bottom + 22 - 6]

  const at = (part, dx, dy) => {
    const [x, top, w, h] = boxes[part]
    return [x + w * dx, top + h * dy]
  }
  const line = (from, to, ...points) => {
    lines[`${from}>${to}`] = points
  }
  const down = (from, to, dx = 0.5) => {
    const [x, top] = at(from, dx, 1)
    line(from, to, [x, top], [x, boxes[to][1]])
  }
  const up = (part, above) => {
    const [x, y0] = at(part, 0.5, 0)
    line(above, part, [x, boxes[above][1] + boxes[above][3]], [x, y0])
  }
  const across = (from, to) => line(from, to, at(from, 1, 0.5), [boxes[to][0], at(from, 1, 0.5)[1]])
  const wall = boxes.wechat[0]
  down("staff", "gateway")
  down("phone", "gateway")
  across("phone", "wechat")
  line("wechat", "gateway", [wall, at("gateway", 1, 0.5)[1]], at("gateway", 1, 0.5))
  for (const part of API) {
    up(part, "gateway")
    down(part, "table", 0.35)
  }
  ;["orders", "create_prepay", "status_poll"].forEach((part, i) => {
    const [x, y0] = at(part, 0.75, 1)
    const lane = y0 + gutter * (0.3 + 0.2 * i)
    line(part, "wechat", [x, y0], [x, lane], [wall, lane])
  })
  up("stream", "table")
  across("stream", "publish_events")
  across("publish_events", "topic")
  line("sweep", "topic", at("sweep", 0, 0.5), at("topic", 1, 0.5))
  line("sweep", "table", at("sweep", 0.5, 0), [at("sweep", 0.5, 0)[0], at("table", 0, 1)[1]])
  line("sweep", "wechat", at("sweep", 1, 0.5), [wall, at("sweep", 1, 0.5)[1]])
  CONSUMERS.forEach((part, i) => {
    const [tx, ty] = at("topic", 0.5, 1)
    const [qx, qy] = at(`q_${part}`, 0.5, 0)
    const lane = ty + gutter / 2
    line("topic", `q_${part}`, [tx, ty], [tx, lane], [qx, lane], [qx, qy])
    const [wx, wy] = at(part, 0.3, 1)
    const [, tableY] = at("table", 0, 0.5)
    line(part, "table", [wx, wy], [wx, wy + 8], [left - 9, wy + 8], [left - 9, tableY], [left, tableY])
    const [sx, sy] = at(part, 0.7, 1)
    if (i) line(part, "wechat", [sx, sy], [sx, sy + 15], [wall, sy + 15])
  })
  return { boxes, lines, height: bottom + 26, narrow }
}

const draw = (tag, attributes, ...children) => {
  const made = document.createElementNS(SVG, tag)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...children)
  return made
}
const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("")

/** Draws into `element` and again whenever its width changes. */
export function picture(element) {
  const svg = element.appendChild(draw("svg", { role: "img", class: "trace-picture" }))
  const been = new Set()
  let lines = {}
  let boxes = {}
  let width = 0

  function redraw() {
    const now = Math.min(Math.max(Math.round(element.clientWidth), 320), 900)
    if (now === width) return
    width = now
    const made = layout(width)
    lines = made.lines
    svg.classList.toggle("narrow", made.narrow)
    svg.setAttribute("viewBox", `0 0 ${width} ${made.height}`)
    const edges = draw(
      "g",
      { class: "edges" },
      ...Object.values(lines).map((points) => draw("path", { d: path(points) })),
    )
    boxes = Object.fromEntries(
      Object.entries(made.boxes).map(([part, [x, y, w, h]]) => {
        const queue = part.startsWith("q_")
        const tallWechat = part === "wechat"
        const label = draw("text", { x: x + w / 2, y: y + h / 2 }, queue ? "SQS" : name(part))
        const box = draw(
          "g",
          { class: `box ${queue ? "queue" : part}` },
          draw("rect", { x, y, width: w, height: h, rx: queue ? 4 : 8 }),
          label,
        )
        const under = queue ? "" : (UNDER[part] ?? part)
        if (!made.narrow && under) {
          label.setAttribute("y", y + h / 2 - (tallWechat ? 9 : 7))
          const flat = h < 40 && !tallWechat
          if (flat) {
            label.setAttribute("y", y + h / 2)
            label.append(draw("tspan", { class: "under", dx: 8 }, under))
          } else box.append(draw("text", { x: x + w / 2, y: y + h / 2 + 9, class: "under" }, under))
        }
        if (been.has(part)) box.classList.add("been")
        return [part, box]
      }),
    )
    svg.replaceChildren(edges, draw("g", { class: "pulses" }), ...Object.values(boxes))
  }
  new ResizeObserver(redraw).observe(element)
  redraw()

  function flash(node, ...classes) {
    node?.classList.add(...classes)
    setTimeout(() => node?.classList.remove(...classes), 1300)
  }

  return {
    /** Says in words what it shows. */
    describe(text) {
      svg.setAttribute("aria-label", text)
    },
    forget() {
      been.clear()
      Object.values(boxes).forEach((box) => box.classList.remove("been", "on", "bad"))
    },
    touched: () => [...been].filter((part) => !part.startsWith("q_")),
    /** A part was passed; `show`: it is now. */
    touch(part, { show, bad }) {
      if (!boxes[part]) return
      been.add(part)
      boxes[part].classList.add("been")
      if (show) flash(boxes[part], bad ? "bad" : "on")
    },
    /** A pulse from one part to another. */
    pulse(from, to, bad) {
      const points = lines[`${from}>${to}`] ?? lines[`${to}>${from}`]?.toReversed()
      if (!points) return
      const made = svg
        .querySelector(".pulses")
        .appendChild(draw("path", { d: path(points), pathLength: 100, class: bad ? "bad" : "" }))
      setTimeout(() => made.remove(), 900)
    },
  }
}
