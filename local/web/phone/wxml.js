// Draws WXML, the templates of mini-programs, as HTML: the subset that miniprogram/ uses (view, text, image, button,
// input, date picker, switch, block, template, import, wx:if, wx:for, {{ }}, bind...). Redrawing keeps what has the focus.

const WX = "https://wx"
const TAGS = {
  view: "div",
  text: "span",
  image: "img",
  button: "button",
  input: "input",
  switch: "input",
  picker: "div",
}

// A template file -> its parsed root. `source` must be well-formed XML.
export function parse(source, name) {
  const text = `<root xmlns:wx="${WX}">${source.replace(/&(?!\w+;)/g, "&amp;")}</root>`
  const root = new DOMParser().parseFromString(text, "text/xml")
  const error = root.querySelector("parsererror")
  if (error) throw new Error(`${name}: ${error.textContent}`)
  return root.documentElement
}

// Draws the template into the container. `load(src)` gives the parsed root of an import, `call(method, event)` runs a
// handler of the page.
export function draw(container, root, data, { load, call }) {
  const templates = {}
  const collect = (from) => {
    for (const node of from.children) {
      if (node.localName === "import") collect(load(node.getAttribute("src")))
      else if (node.localName === "template" && node.hasAttribute("name")) templates[node.getAttribute("name")] = node
    }
  }
  collect(root)
  const fresh = document.createElement(container.localName)
  fresh.append(...children(root, data, { templates, call }))
  patch(container, fresh)
}

function children(parent, scope, context) {
  const made = []
  let taken = false // whether a branch of the present wx:if has been drawn
  for (const node of parent.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) {
      const text = spelled(node.data, scope)
      if (text.trim()) made.push(Object.assign(document.createTextNode(text), { from: node }))
      continue
    }
    if (node.nodeType !== Node.ELEMENT_NODE) continue
    const attribute = (name) => node.getAttributeNS(WX, name)
    if (node.hasAttributeNS(WX, "if")) taken = Boolean(fill(attribute("if"), scope))
    else if (node.hasAttributeNS(WX, "elif")) {
      if (taken) continue
      taken = Boolean(fill(attribute("elif"), scope))
    } else if (node.hasAttributeNS(WX, "else")) {
      if (taken) continue
      taken = true
    } else taken = true
    if (!taken) continue
    if (node.hasAttributeNS(WX, "for")) {
      const items = fill(attribute("for"), scope) || []
      const key = attribute("key")
      items.forEach((item, index) => {
        const drawn = element(node, { ...scope, item, index }, context)
        const value = key === "*this" ? item : item[key]
        made.push(...drawn.map((one) => Object.assign(one, { key: key ? value : index })))
      })
    } else made.push(...element(node, scope, context))
  }
  return made
}

function element(node, scope, context) {
  const value = (name) => (node.hasAttribute(name) ? fill(node.getAttribute(name), scope) : undefined)
  if (node.localName === "block") return children(node, scope, context)
  if (node.localName === "import") return []
  if (node.localName === "template") {
    if (node.hasAttribute("name")) return []
    const inner = evaluate(`({${node.getAttribute("data").replace(/^\{\{|\}\}$/g, "")}})`, scope)
    return children(context.templates[value("is")], inner, context)
  }
  const made = Object.assign(document.createElement(TAGS[node.localName]), { from: node })
  const dataset = {}
  for (const { name, value: raw } of node.attributes) {
    if (name.startsWith("data-")) dataset[name.slice(5)] = fill(raw, scope)
    else if (name.startsWith("aria-")) made.setAttribute(name === "aria-role" ? "role" : name, fill(raw, scope))
    else if (name === "class") made.className = fill(raw, scope)
  }
  made.append(...children(node, scope, context))
  const on = (event, name, detail = () => ({})) => {
    const method = node.getAttribute(name)
    if (method) {
      made[`on${event}`] = (told) => context.call(method, { detail: detail(told), currentTarget: { dataset } })
    }
  }
  on("click", "bindtap")
  SHAPES[node.localName]?.(made, value, on)
  if (made.getAttribute("role") === "button") {
    made.tabIndex = 0
    made.onkeydown = (key) => {
      if (key.key !== "Enter" && key.key !== " ") return
      key.preventDefault()
      made.click()
    }
  }
  return [made]
}

// What sets an element apart from the HTML that stands for it.
const SHAPES = {
  button: (made, value) => {
    made.type = "button"
    made.disabled = Boolean(value("disabled"))
  },
  image: (made, value) => {
    const src = value("src")
    made.src = src.startsWith("/") ? `miniprogram${src}` : src
    made.alt = made.getAttribute("aria-label") ?? ""
  },
  input: (made, value, on) => {
    made.setAttribute("value", value("value"))
    made.maxLength = value("maxlength") ?? 140
    made.placeholder = value("placeholder") ?? ""
    on("input", "bindinput", (told) => ({ value: told.target.value }))
  },
  switch: (made, value, on) => {
    made.type = "checkbox"
    made.setAttribute("role", "switch")
    made.toggleAttribute("checked", Boolean(value("checked")))
    on("change", "bindchange", (told) => ({ value: told.target.checked }))
  },
  picker: (made, value, on) => {
    const input = document.createElement("input")
    input.type = "date"
    input.required = true
    for (const [from, to] of [
      ["value", "value"],
      ["start", "min"],
      ["end", "max"],
      ["aria-label", "aria-label"],
    ]) {
      if (value(from)) input.setAttribute(to, value(from))
    }
    made.replaceChildren(input)
    made.removeAttribute("aria-label")
    on("change", "bindchange", (told) => ({ value: told.target.value }))
  },
}

// --- {{ }}

// The value of an attribute: of one {{ }} as it is, of anything else as text.
function fill(raw, scope) {
  const whole = raw.match(/^\{\{((?:(?!\}\}).)*)\}\}$/s)
  return whole ? evaluate(whole[1], scope) : spelled(raw, scope)
}

function spelled(raw, scope) {
  return raw.replace(/\{\{(.*?)\}\}/gs, (_, expression) => evaluate(expression, scope) ?? "")
}

const compiled = new Map()

function evaluate(expression, scope) {
  if (!compiled.has(expression)) {
    compiled.set(expression, new Function("scope", `with (scope) { return (${expression}) }`))
  }
  try {
    return compiled.get(expression)(new Proxy(scope, { has: (_, name) => typeof name === "string" }))
  } catch (error) {
    if (error instanceof TypeError) return undefined // WXML's rule: a member of what is not there is not there
    throw error
  }
}

// --- redrawing

const HANDLERS = ["onclick", "oninput", "onchange", "onkeydown"]

// Made from the same place of the template, and in a wx:for from the same item: never is a button that somebody is about
// to press turned into another one.
const same = (one, other) => one.from === other.from && one.key === other.key && one.nodeName === other.nodeName

// Makes `old` equal to `fresh`, touching only what differs.
function patch(old, fresh) {
  let next = old.firstChild // all before it is done
  for (const node of [...fresh.childNodes]) {
    let standing = next
    while (standing && !same(standing, node)) standing = standing.nextSibling
    if (!standing) {
      old.insertBefore(node, next)
      continue
    }
    drop(next, standing)
    next = standing.nextSibling
    if (node.nodeType === Node.TEXT_NODE) {
      if (standing.data !== node.data) standing.data = node.data
      continue
    }
    for (const { name } of [...standing.attributes]) if (!node.hasAttribute(name)) standing.removeAttribute(name)
    for (const { name, value } of node.attributes) {
      if (standing.getAttribute(name) !== value) standing.setAttribute(name, value)
    }
    for (const handler of HANDLERS) standing[handler] = node[handler]
    if (node.localName === "input" && standing.value !== node.value) standing.value = node.value
    if (node.type === "checkbox") standing.checked = node.checked
    patch(standing, node)
  }
  drop(next, null)
}

// Removes the siblings from one on up to another.
function drop(one, end) {
  while (one !== end) {
    const after = one.nextSibling
    one.remove()
    one = after
  }
}
