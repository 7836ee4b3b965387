-- For wrk: POST /recommend for each of the users in turn.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

local users, n

function init(args)
  users, n = tonumber(args[1]), 0
end

function request()
  n = n + 1
  return wrk.format(nil, nil, nil, string.format('{"user_id":"u%08d","k":20}', n * 7919 % users))
end
