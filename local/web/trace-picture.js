// The architecture as a picture: boxes that light up, lines along which a pulse runs. Drawn for the width it gets.
import { say } from "./trace-words.js"

const SVG = "http://www.w3.org/2000/svg"
const UNDER = {
  phone: "pay.js",
  staff: "",
  wechat: "Pay · API",
  gateway: "HTTP API",
  table: "DynamoDB",
  stream: "DynamoDB",
  topic: "SNS",
}

export const name = (part) => say(part === "sweep" ? "sweep_box" : part.replace(/^q_/, ""))

/** Where everything is: boxes {part: [x, y, width, height]} and lines {"from>to": [[x, y], ...]}. `functions` as
 * /live/functions tells them. */
function layout(width, functions) {
  const names = (chosen) => functions.filter(chosen).map((one) => one.name)
  const api = functions.filter((one) => one.routes.length)
  const consumers = functions.filter((one) => one.takes.length)
  const publishers = names((one) => one.stream)
  const timed = functions.filter((one) => one.scheduled)
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
  const most = narrow ? 5 : 9 // boxes side by side
  const rows = (all) => {
    const size = Math.ceil(all.length / Math.ceil(all.length / most))
    return Array.from({ length: Math.ceil(all.length / size) || 0 }, (_, i) =>
      all.slice(i * size, (i + 1) * size).map((one) => one.name),
    )
  }
  let y = 6
  const client = narrow ? 84 : 150
  boxes.staff = [left, y, client, tall]
  boxes.phone = [right - client, y, client, tall]
  y = row(["gateway"], y + tall + gutter, flat)
  for (const some of rows(api)) y = row(some, y, tall)
  y = row(["table"], y, flat)
  y = row(["stream", ...publishers, "topic", ...timed.map((one) => one.name)], y, tall)
  for (const some of rows(consumers)) {
    row(
      some.map((part) => `q_${part}`),
      y,
      16,
    )
    y = row(some, y + 16, tall)
  }
  const bottom = y - gutter
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
  for (const { name: part, table } of api) {
    up(part, "gateway")
    if (table) down(part, "table", 0.35)
  }
  api
    .filter((one) => one.wechat)
    .forEach(({ name: part }, i, { length }) => {
      const [x, y0] = at(part, 0.75, 1)
      const lane = y0 + gutter * (0.25 + (0.5 * i) / Math.max(length - 1, 1))
      line(part, "wechat", [x, y0], [x, lane], [wall, lane])
    })
  up("stream", "table")
  for (const part of publishers) {
    across("stream", part)
    across(part, "topic")
  }
  for (const { name: part, table, topic, wechat } of timed) {
    if (topic) line(part, "topic", at(part, 0, 0.5), at("topic", 1, 0.5))
    if (table) line(part, "table", at(part, 0.5, 0), [at(part, 0.5, 0)[0], at("table", 0, 1)[1]])
    if (wechat) line(part, "wechat", at(part, 1, 0.5), [wall, at(part, 1, 0.5)[1]])
  }
  consumers.forEach(({ name: part, table, wechat }) => {
    const [tx, ty] = at("topic", 0.5, 1)
    const [qx, qy] = at(`q_${part}`, 0.5, 0)
    const lane = ty + gutter / 2
    line("topic", `q_${part}`, [tx, ty], [tx, lane], [qx, lane], [qx, qy])
    const [wx, wy] = at(part, 0.3, 1)
    const [, tableY] = at("table", 0, 0.5)
    if (table) line(part, "table", [wx, wy], [wx, wy + 8], [left - 9, wy + 8], [left - 9, tableY], [left, tableY])
    const [sx, sy] = at(part, 0.7, 1)
    if (wechat) line(part, "wechat", [sx, sy], [sx, sy + 15], [wall, sy + 15])
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

/** Draws into `element`, as soon as `show` has told it which functions there are, and again whenever its width changes. */
export function picture(element) {
  const svg = element.appendChild(draw("svg", { role: "img", class: "trace-picture" }))
  const been = new Set()
  let lines = {}
  let boxes = {}
  let width = 0
  let functions

  function redraw() {
    const now = Math.min(Math.max(Math.round(element.clientWidth), 320), 900)
    if (now === width || !functions) return
    width = now
    const made = layout(width, functions)
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
        const under = queue || name(part) === part ? "" : (UNDER[part] ?? part)
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

  function flash(node, ...classes) {
    node?.classList.add(...classes)
    setTimeout(() => node?.classList.remove(...classes), 1300)
  }

  return {
    show(told) {
      functions = told
      width = 0
      redraw()
    },
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
