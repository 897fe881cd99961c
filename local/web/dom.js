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

// ¥896.05 of 89605 fen, -¥0.05 of -5.
export const yuan = (fen) => {
  const whole = Math.abs(fen)
  return `${fen < 0 ? "-" : ""}¥${Math.floor(whole / 100)}.${String(whole % 100).padStart(2, "0")}`
}
