-- For wrk: POST /recommend for each of the users in turn, from one of them on.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

local users, n

function init(args)
  users, n = tonumber(args[1]), tonumber(args[2])
end

function request()
  n = n + 1
  return wrk.format(nil, nil, nil, string.format('{"user_id":"u%08d","k":20}', n % users))
end
