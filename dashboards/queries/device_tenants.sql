-- Tenants with a device of this name, two at most: where nobody chose a tenant, one name may mean several devices.
SELECT toString(log.tenant) AS owner
FROM device_log AS log
WHERE ({tenant:String} = '' OR log.tenant = {tenant:String})
    AND log.device = {device:String}
GROUP BY owner
LIMIT 2
