-- The whole year in one go: from `lines`, what the partners sent, to `flights` and `rejects`.
-- Beside it are the tables airlines, airports, planes and weather; a missing value is NULL in them, and 'NA' in the lines.

CREATE MACRO given(text) AS nullif(text, 'NA');
CREATE MACRO whole(text) AS TRY_CAST(given(text) AS INTEGER);
CREATE MACRO is_no_number(text) AS given(text) IS NOT NULL AND whole(text) IS NULL;
CREATE MACRO minute_of_day(clock) AS clock // 100 * 60 + clock % 100;
CREATE MACRO is_no_time(clock) AS clock < 0 OR clock // 100 > 24 OR clock % 100 > 59;
CREATE MACRO is_other_delay(actual, scheduled, delay) AS
    delay IS NOT NULL AND coalesce((minute_of_day(actual) - minute_of_day(scheduled) - delay) % 1440 <> 0, true);

CREATE TABLE fields AS
SELECT row_number() OVER () AS place, line, string_split(line, ',') AS f FROM lines;

CREATE TABLE typed AS
SELECT
    place, line,
    make_date(f[1]::INTEGER, f[2]::INTEGER, f[3]::INTEGER) AS day,
    whole(f[4]) AS dep_time, whole(f[5]) AS sched_dep_time, whole(f[6]) AS dep_delay,
    whole(f[7]) AS arr_time, whole(f[8]) AS sched_arr_time, whole(f[9]) AS arr_delay,
    f[10] AS carrier, whole(f[11]) AS number, given(f[12]) AS tail, f[13] AS origin, f[14] AS destination,
    whole(f[15]) AS air_time, whole(f[16]) AS miles, whole(f[17]) AS hour, whole(f[18]) AS minute,
    f[19] AS time_hour, replace(f[19], 'Z', '')::TIMESTAMP AS utc_hour,
    (hour - date_part('hour', utc_hour) + 36) % 24 - 12 AS new_york,
    len(list_filter(f[4:9], lambda text: is_no_number(text))) > 0 OR is_no_number(f[15])
        OR number IS NULL OR miles IS NULL OR hour IS NULL OR minute IS NULL AS is_unreadable
FROM fields WHERE len(f) = 19;

CREATE TABLE checked AS
SELECT
    typed.*, airports.name AS airport,
    CASE
        WHEN is_unreadable THEN 'a number that is none'
        WHEN is_no_time(dep_time) OR is_no_time(sched_dep_time) OR is_no_time(arr_time) OR is_no_time(sched_arr_time)
            THEN 'no time of day'
        WHEN carrier NOT IN (SELECT carrier FROM airlines) THEN 'no such airline'
        WHEN origin NOT IN ('EWR', 'JFK', 'LGA') THEN 'no airport of New York'
        WHEN minute_of_day(sched_dep_time) <> hour * 60 + minute THEN 'scheduled at two times'
        WHEN (dep_delay IS NULL) <> (dep_time IS NULL) THEN 'a delay and no departure, or the reverse'
        WHEN is_other_delay(dep_time, sched_dep_time, dep_delay) OR is_other_delay(arr_time, sched_arr_time, arr_delay)
            THEN 'the clock shows another delay'
        WHEN miles <= 0 THEN 'no distance'
        WHEN miles * 60 > 600 * air_time THEN 'faster than 600 miles an hour'
        WHEN air_time > (minute_of_day(arr_time) - minute_of_day(dep_time) + 2880
            - 60 * (tz + (dst = 'A' AND new_york = -4)::INTEGER - new_york)) % 1440
            THEN 'longer in the air than from gate to gate'
    END AS reason
FROM typed LEFT JOIN airports ON faa = destination;

CREATE TABLE single AS
SELECT
    * REPLACE (CASE WHEN row_number() OVER same > 1 THEN 'the same flight twice' ELSE reason END AS reason),
    utc_hour + to_minutes(minute) AS scheduled, scheduled + to_minutes(dep_delay) AS departed
FROM checked WHERE reason IS NULL WINDOW same AS (PARTITION BY carrier, number, utc_hour ORDER BY place);

CREATE TABLE airborne AS
SELECT place, departed < lag(departed + to_minutes(air_time)) OVER trips AS is_busy
FROM single WHERE reason IS NULL AND departed IS NOT NULL AND air_time IS NOT NULL AND tail IS NOT NULL
WINDOW trips AS (PARTITION BY day, tail ORDER BY departed, carrier, number);

CREATE TABLE judged AS
SELECT * REPLACE (CASE WHEN is_busy THEN 'its plane had not landed yet' ELSE reason END AS reason)
FROM single LEFT JOIN airborne USING (place);

CREATE TABLE rejects AS
SELECT line, reason FROM (
    SELECT line, 'a torn line' AS reason FROM fields WHERE len(f) <> 19
    UNION ALL SELECT line, reason FROM checked
    UNION ALL SELECT line, reason FROM judged
) WHERE reason IS NOT NULL;

INSERT INTO flights
SELECT
    judged.day, carrier, number, tail, judged.origin, destination, scheduled, departed, dep_delay, arr_delay, air_time, miles,
    dep_time IS NULL, airport, planes.year::INTEGER, manufacturer, seats::INTEGER, wind_speed::DOUBLE, precip::DOUBLE,
    visib::DOUBLE
FROM judged
LEFT JOIN planes ON planes.tailnum = judged.tail
LEFT JOIN weather ON weather.origin = judged.origin AND weather.time_hour = judged.time_hour
WHERE reason IS NULL;
