// What the pages make elements and sums with.

// An element with properties, aria attributes, a role, and children; what is null is left out.
export function h(tag, properties = {}, ...inner) {
  const { role, aria = {}, ...rest } = properties
  const made = Object.assign(document.createElement(tag), rest)
  if (role) made.setAttribute("role", role)
  for (const [name, value] of Object.entries(aria)) made.setAttribute(`aria-${name}`, value)
  made.append(...inner.flat().filter((part) => part !== null && part !== undefined && part !== false))
  return made
}

// ¥896.05 of 89605 fen.
export const yuan = (fen) => `¥${Math.floor(fen / 100)}.${String(fen % 100).padStart(2, "0")}`
